"""What a folder of shards stands for, and what is said of the rest."""

import gzip
import os
from pathlib import Path

import orjson
import pytest

from prism_cli.errors import MissingDataError, UsageError
from prism_cli.shards.folder import line_suffix
from prism_cli.shards.reader import find_shards

ROW = b'{"query": "q", "document": "d"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def names(folder: Path) -> list[str]:
    return [shard.path.name for shard in find_shards([str(folder)])]


def test_row_files_are_found_in_any_case_and_compression(folder: Path) -> None:
    for name in (
        "a.jsonl",
        "b.JSONL",
        "c.NDJSON",
        "d.jsonl.bz2",
        "e.Jsonl.XZ",
        "f.csv",
        "g.TSV.gz",
    ):
        (folder / name).write_bytes(ROW)
    assert len(names(folder)) == 7


def test_what_is_passed_over_is_named_once_by_kind(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.jsonl").write_bytes(ROW)
    for name in ("a.jsonl.manifest.json", "a.jsonl.rejects.jsonl", ".a.jsonl.lock"):
        (folder / name).write_bytes(b"")
    (folder / "deep").mkdir()
    (folder / "self").symlink_to(folder)
    (folder / "gone.jsonl").symlink_to(folder / "missing")
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    (folder / "notes.md").write_text("x")
    (folder / "info.json").write_text("{}")
    for number in range(5):
        (folder / f"{number}.bin").write_bytes(b"")
    assert names(folder) == ["a.jsonl"]
    assert names(folder) == ["a.jsonl"]
    (told,) = capsys.readouterr().err.splitlines()
    assert told == (
        f"prism: {folder}: passed over: other file: 0.bin, 1.bin, 2.bin, 2 more; "
        "folder (name it to have it read): deep; dead link: gone.jsonl, loop.jsonl; "
        "document beside files of rows: notes.md; linked folder: self; "
        "JSON beside other files of rows: info.json"
    )


def test_folder_in_which_all_is_passed_over_is_refused_after_its_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rows.parq").write_bytes(b"")
    with pytest.raises(MissingDataError, match=r"without shards; expected files that end in"):
        names(folder)
    assert "other file: rows.parq" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.jsonl", ".jsonl"),
        ("a.b.JSONL.Gz", ".JSONL.Gz"),
        ("a.ndjson.xz", ".ndjson.xz"),
        ("a.csv", ""),
        ("a.gz", ""),
    ],
)
def test_suffix_of_json_lines_is_as_written(name: str, suffix: str) -> None:
    assert line_suffix(Path(name)) == suffix


def test_upper_case_suffix_is_unpacked(folder: Path) -> None:
    (folder / "A.JSONL.GZ").write_bytes(gzip.compress(ROW))
    (shard,) = find_shards([str(folder)])
    assert list(shard.lines()) == [ROW]


def test_a_name_that_is_not_utf8_is_passed_over_and_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "ok.jsonl").write_bytes(ROW)
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.jsonl")).write_bytes(ROW)
    assert names(folder) == ["ok.jsonl"]
    assert "name that is not UTF-8 (rename the file): bad" in capsys.readouterr().err
    (folder / "ok.jsonl").rename(folder / "ok.txt")
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.jsonl")).unlink()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_bytes(b"x")
    (shard,) = find_shards([str(folder)])
    assert [orjson.loads(raw)["doc_id"] for _, raw in shard.numbered()] == ["ok.txt"]
    assert "caf" in capsys.readouterr().err


def test_an_input_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="without a name"):
        find_shards([""])
