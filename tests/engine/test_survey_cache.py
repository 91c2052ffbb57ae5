"""What is kept of surveys in the state directory, and for how long."""

import os
import time
from pathlib import Path

import pytest

from prism_cli.engine import survey_cache, surveys
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.survey_cache import KEPT_SECONDS, header, sweep
from tests.factories import make_pairs, write_jsonl
from tests.fakes import CountSurvey, EchoStage

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def small_and_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "_CACHED_BYTES", 1)
    monkeypatch.setattr(survey_cache, "SWEEP_SECONDS", 0.0)


def run(folder: Path) -> list[Path]:
    """Run a stage with a survey over a folder; return the cached files."""
    stage = EchoStage()
    stage.survey = CountSurvey()
    out = folder.with_name("out")
    run_rows(stage, [str(folder)], RunOptions(out, quiet=True, if_changed="redo"))
    return cached(out)


def cached(out: Path) -> list[Path]:
    (folder,) = out.rglob("surveys")
    return [path for path in folder.iterdir() if path.name != ".swept"]


def test_parts_of_shards_that_are_gone_or_changed_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRISM_STATE", raising=False)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        write_jsonl(folder / f"{number}.jsonl", make_pairs(2 + number))
    assert len(before := run(folder)) == 3
    (folder / "0.jsonl").unlink()
    write_jsonl(folder / "1.jsonl", make_pairs(7))
    write_jsonl(folder / "3.jsonl", make_pairs(1))
    after = run(folder)
    assert len(after) == 3
    assert len({*before} & {*after}) == 2


def part(folder: Path, name: str, days: float, size: int = 10, path: str = "") -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_bytes(header(b"s" * 32, path).ljust(size, b"\0"))
    used = time.time() - days * DAY
    os.utime(file, (used, used))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".swept")


def test_what_was_not_used_for_long_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "surveys"
    part(folder, "old", KEPT_SECONDS / DAY + 1)
    part(folder, "new", KEPT_SECONDS / DAY - 1)
    part(folder, ".old.0123456789ab.part", 2)
    part(folder, ".new.0123456789ab.part", 0)
    part(folder, "gone", 0, path="/no/such/file")
    part(folder, "there", 0, path=str(folder))
    part(folder, "short", 0, size=0)
    (folder / "short").write_bytes(b"")
    sweep(folder)
    assert names(folder) == [".new.0123456789ab.part", "new", "short", "there"]


def test_above_the_limit_the_longest_unused_are_removed_but_for_the_last_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_cache, "KEPT_BYTES", 250)
    folder = tmp_path / "surveys"
    for name, days in (("a", 4), ("b", 3), ("c", 2), ("d", 0.5)):
        part(folder, name, days, size=100)
    sweep(folder)
    assert names(folder) == ["c", "d"]
    monkeypatch.setattr(survey_cache, "KEPT_BYTES", 0)
    sweep(folder)
    assert names(folder) == ["d"]


def test_a_folder_is_swept_at_most_once_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "surveys"
    sweep(folder)
    assert not folder.exists()
    folder.mkdir()
    sweep(folder)
    monkeypatch.setattr(survey_cache, "SWEEP_SECONDS", 3600.0)
    part(folder, "old", KEPT_SECONDS / DAY + 1)
    sweep(folder)
    assert names(folder) == ["old"]


def test_use_is_noted(tmp_path: Path) -> None:
    part(tmp_path, "file", 5, path="/a/file")
    assert survey_cache.is_current(tmp_path / "file", header(b"s" * 32, "/a/file"))
    assert time.time() - (tmp_path / "file").stat().st_mtime < 60
    assert not survey_cache.is_current(tmp_path / "file", header(b"t" * 32, "/a/file"))
    assert not survey_cache.is_current(tmp_path / "none", header(b"s" * 32, "/a/file"))
