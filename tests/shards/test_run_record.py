"""Records of processes that share an output where locks do not hold."""

from pathlib import Path

import pytest

from prism_cli.errors import ChangedInputError
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.writer import OutputRecord


def record_of(folder: Path) -> RunRecord:
    return RunRecord("echo", {}, folder, folder / "out.manifest.json", outputs=[folder / "out"])


def written(path: Path, text: str) -> OutputRecord:
    path.write_text(text)
    return OutputRecord(len(text), digest_file(path).sha256, path.stat().st_mtime_ns)


def finished_by_another(folder: Path) -> None:
    """The output of another process, whose manifest is replaced by the next `begin`."""
    other = record_of(folder)
    other.begin(alone=False)
    other.publishing({"out": written(folder / "out", "rows")})
    other.finish(finished=True)


def test_an_output_finished_before_the_manifest_is_replaced_is_worked_again(tmp_path: Path) -> None:
    late = record_of(tmp_path)
    finished_by_another(tmp_path)
    late.begin(alone=False)  # and is killed
    third = record_of(tmp_path)
    assert third.finished() is None
    third.begin(alone=False)
    record = written(tmp_path / "out", "rows")
    third.publishing({"out": record})  # the same bytes
    written(tmp_path / "out", "other")
    with pytest.raises(ChangedInputError, match="appeared while this run worked"):
        third.publishing({"out": record})


def test_with_a_lock_such_an_output_is_another_programs(tmp_path: Path) -> None:
    record_of(tmp_path).begin()
    (tmp_path / "out").write_text("rows")
    with pytest.raises(ChangedInputError, match="created by another program"):
        record_of(tmp_path).finished()
