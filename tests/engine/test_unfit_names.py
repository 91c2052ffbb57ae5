"""Files whose names cannot be worked with are refused alone, with exit code 2."""

import os
from pathlib import Path

import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from tests.door import Done, prism
from tests.fakes import ScoreStage, ScriptedCalls

ROW = b'{"query": "q", "document": "d", "source_label": 1}\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ok.jsonl").write_bytes(ROW)
    return tmp_path


def relabel(*words: str) -> Done:
    return prism("relabel", "--judge", "source", *words)


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("in", "in.relabel/ok.jsonl"),
        ("in/*.jsonl", "in/ok.relabel.jsonl"),
        ("expanded by the shell", "in/ok.relabel.jsonl"),
    ],
)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (b"bad\xff.jsonl", r"in/bad\xff.jsonl: its name is not UTF-8"),
        (b"x" * 240 + b".jsonl", "and those of the files beside it"),
    ],
    ids=["not UTF-8", "too long"],
)
def test_the_others_are_worked(
    home: Path, given: str, output: str, name: bytes, message: str
) -> None:
    Path(os.fsdecode(b"in/" + name)).write_bytes(ROW)
    for others in ("worked", "finished before"):
        by_shell = ["in/ok.jsonl", os.fsdecode(b"in/" + name)]
        done = relabel(*([given] if given.startswith("in") else by_shell))
        assert done.returncode == 2
        assert f"1 of 2 outputs was left as it is; the others were {others}" in done.stderr
        assert message in done.stderr
        assert (home / output).is_file()


@pytest.mark.parametrize("words", [("in", "-o", "one.jsonl"), ("in", "--dry-run")])
def test_a_merge_is_refused_and_a_forecast_is_not(home: Path, words: tuple[str, ...]) -> None:
    Path(os.fsdecode(b"in/bad\xff.jsonl")).write_bytes(ROW)
    done = relabel(*words)
    assert done.returncode == (0 if "--dry-run" in words else 2)
    assert not (home / "one.jsonl").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["split"],
        ["sample"],
        ["convert", "--to", "author"],
        ["collect"],
        ["eval", "labels"],
        ["collect", "--dataset", "in"],
    ],
    ids=" ".join,
)
def test_every_command_refuses_it_in_the_same_words(home: Path, words: list[str]) -> None:
    name = os.fsdecode(b"in/bad\xff.jsonl")
    Path(name).write_bytes(ROW)
    done = prism(*words, *([] if "--dataset" in words else [name]), "-o", "out")
    assert done.returncode == 2
    assert r"in/bad\xff.jsonl: its name is not UTF-8, as ids, rows and" in done.stderr


@pytest.mark.parametrize("size", [217, 250, 300])
def test_a_name_too_long_for_its_side_files_is_refused_before_any_work(
    home: Path, size: int
) -> None:
    done = relabel("in/ok.jsonl", "-o", "x" * size + ".jsonl")
    assert done.returncode == 2
    assert "where a file system takes 255; name a shorter output with -o" in done.stderr
    assert not list(home.glob("*x*"))
    assert relabel("in/ok.jsonl", "-o", "x" * 216 + ".jsonl").returncode == 0


def test_a_file_whose_name_begins_with_a_dash_is_told_from_an_option(home: Path) -> None:
    (home / "-dash.jsonl").write_bytes(ROW)
    done = relabel("-dash.jsonl")
    assert done.returncode == 2
    assert "the file -dash.jsonl is given as ./-dash.jsonl" in done.stderr
    assert relabel("./-dash.jsonl").returncode == 0


@pytest.mark.parametrize("state", ["", "state"])
def test_a_working_folder_need_not_be_utf_8(
    home: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    if state:
        monkeypatch.setenv("PRISM_STATE", str(home / state))
    Path("rows.jsonl").write_bytes(ROW)
    done = relabel("rows.jsonl")
    assert done.returncode == 0, done.stderr
    backend, options = ScriptedCalls(), RunOptions(output=Path("scored.jsonl"), quiet=True)
    run_rows(ScoreStage(backend), ["rows.jsonl"], options)
    assert backend.asked == ["d"]


def test_an_empty_rank_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "")
    assert relabel("in/ok.jsonl").returncode == 0


def test_line_ends_in_names_start_no_line_of_the_log(home: Path) -> None:
    (home / "a\nb.jsonl").write_bytes(ROW + b"{\n")
    done = relabel("a\nb.jsonl")
    assert "wrote a⟨U+000A⟩b.relabel.jsonl" in done.stderr
    assert not any(": b." in line for line in done.stderr.splitlines())
