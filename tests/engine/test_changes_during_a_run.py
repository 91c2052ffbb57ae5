"""What somebody else does at the output's place while a run works: nothing of theirs is lost."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import ChangedInputError, LockedError, RefusedOutputsError, StorageError
from tests.factories import Row, jsonl, make_pairs, read_jsonl, write_jsonl
from tests.fakes import EchoStage, RoutedStage, ScoreStage, ScriptedBatch

Meddle = Callable[[], object]


def score(out: Path, meddle: Meddle = lambda: None, *inputs: Path, **more: Any) -> ScriptedBatch:
    """Run, with `meddle` called before the first batch; the backend with what it was asked."""
    backend = ScriptedBatch(before_batch=lambda number: number or meddle())
    options = RunOptions(output=out, quiet=True, **more)
    run_rows(ScoreStage(backend), [str(path) for path in inputs], options)
    return backend


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, make_pairs(20))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "made" / "out.jsonl"


def test_rows_that_are_appended_meanwhile_are_read_by_no_pass(rows: Path, out: Path) -> None:
    class Learner(EchoStage):
        needs_first_pass_per_shard = learns_first = True
        seen: list[int]

        def begin_shard(self) -> None:
            self.seen = [0, 0]
            with rows.open("ab") as file:
                file.write(jsonl(make_pairs(5)))

        def first_pass(self, rows: Iterable[Row]) -> None:
            self.seen[0] = sum(1 for _ in rows)

        def learns(self, row: Row) -> bool:
            self.seen[1] += 1
            return False

    run_rows(stage := Learner(), [str(rows)], RunOptions(output=out, quiet=True))
    assert (stage.seen, len(read_jsonl(out))) == ([20, 20], 20)


def test_a_file_that_appears_at_the_output_stays(rows: Path, out: Path) -> None:
    with pytest.raises(ChangedInputError, match=r"out\.jsonl: appeared while this run worked"):
        score(out, lambda: out.write_text("theirs"), rows)
    assert out.read_text() == "theirs"
    assert [path.name for path in out.parent.iterdir() if path.suffix == ".part"] == []
    with pytest.raises(ChangedInputError, match="created by another program"):
        score(out, lambda: None, rows)
    assert out.read_text() == "theirs"
    again = score(out, lambda: None, rows, overwrite=True)
    assert again.asked == []  # what was asked before is in the ledger
    assert len(read_jsonl(out)) == 20


def test_an_output_that_is_edited_while_it_is_made_again_stays(rows: Path, out: Path) -> None:
    score(out, lambda: None, rows)
    write_jsonl(rows, make_pairs(30))
    with pytest.raises(ChangedInputError, match=r"out\.jsonl: was edited or replaced while"):
        score(out, lambda: out.write_text("theirs"), rows)
    assert out.read_text() == "theirs"


def test_what_overwrite_found_is_replaced_also_by_the_attempt_after_a_stop(
    rows: Path, out: Path
) -> None:
    out.parent.mkdir()
    out.write_text("old")

    def fail() -> None:
        raise StorageError("full")

    with pytest.raises(StorageError, match="full"):
        score(out, fail, rows, overwrite=True)
    score(out, lambda: None, rows)
    assert len(read_jsonl(out)) == 20


def test_a_removed_output_is_made_again(rows: Path, out: Path) -> None:
    score(out, lambda: None, rows)
    write_jsonl(rows, make_pairs(30))
    score(out, out.unlink, rows)
    assert len(read_jsonl(out)) == 30


def test_rejects_that_are_edited_while_a_run_works_stay(rows: Path, out: Path) -> None:
    rejects = out.with_name("out.jsonl.rejects.jsonl")
    with pytest.raises(ChangedInputError, match=r"rejects\.jsonl: appeared"):
        score(out, lambda: rejects.write_text("theirs"), rows)
    assert rejects.read_text() == "theirs"
    assert not out.exists()


def test_none_of_several_outputs_is_published_where_one_appeared(
    rows: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "made"

    class Meddled(RoutedStage):
        def summary(self) -> dict[str, object]:
            return {}

        def begin_shard(self) -> None:
            super().begin_shard()
            (folder / "odd.jsonl").write_text("theirs")

    with pytest.raises(ChangedInputError, match=r"odd\.jsonl: appeared"):
        run_rows(Meddled(), [str(rows)], RunOptions(output=folder, quiet=True))
    assert (folder / "odd.jsonl").read_text() == "theirs"
    assert not (folder / "even.jsonl").exists()


def test_of_several_outputs_the_others_are_worked(rows: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    other = tmp_path / "more.jsonl"
    write_jsonl(other, make_pairs(5))
    theirs = folder / "rows.jsonl"
    backend = ScriptedBatch(before_batch=lambda number: number or theirs.write_text("theirs"))
    options = RunOptions(output=folder, quiet=True)
    summary = run_rows(ScoreStage(backend), [str(rows), str(other)], options)
    assert isinstance(summary.refused, RefusedOutputsError)
    assert summary.refused.exit_code == 2
    assert "rows.jsonl appeared while this run worked" in str(summary.refused)
    assert theirs.read_text() == "theirs"
    assert len(read_jsonl(folder / "more.jsonl")) == 5


def edited(manifest: Path) -> None:
    manifest.write_bytes(orjson.dumps(orjson.loads(manifest.read_bytes()) | {"stage": "x"}))


@pytest.mark.parametrize(
    ("meddle", "words"),
    [
        (lambda path: path.unlink(), "was removed"),
        (lambda path: path.write_text("{}"), "was edited or replaced"),
        (edited, "was edited or replaced"),
    ],
)
def test_a_manifest_that_is_not_ours_any_more_stops_the_run(
    rows: Path, out: Path, meddle: Callable[[Path], None], words: str
) -> None:
    manifest = out.with_name("out.jsonl.manifest.json")
    with pytest.raises(ChangedInputError, match=words):
        score(out, lambda: meddle(manifest), rows)
    assert not out.exists()
    assert score(out, lambda: None, rows).asked == []
    assert len(read_jsonl(out)) == 20


def test_the_manifest_of_another_attempt_tells_of_another_run(rows: Path, out: Path) -> None:
    manifest = out.with_name("out.jsonl.manifest.json")

    def begun_elsewhere() -> None:
        theirs = orjson.loads(manifest.read_bytes()) | {"attempt": "0" * 12}
        manifest.write_bytes(orjson.dumps(theirs))

    with pytest.raises(LockedError, match="another run has begun"):
        score(out, begun_elsewhere, rows)


@pytest.mark.parametrize("rejected", [False, True])
def test_a_folder_that_is_gone_is_told_as_such(
    tmp_path: Path, rows: Path, out: Path, monkeypatch: pytest.MonkeyPatch, rejected: bool
) -> None:
    monkeypatch.setenv("PRISM_STATE", str(tmp_path / "state"))
    if rejected:
        rows.write_bytes(rows.read_bytes() + b"no row\n")
    with pytest.raises(StorageError, match="folder was removed or renamed while this run"):
        score(out, lambda: shutil.rmtree(out.parent), rows)
    assert not out.parent.exists()
    assert score(out, lambda: None, rows).asked == []
    assert len(read_jsonl(out)) == 20


@pytest.mark.parametrize("kind", ["rejects", "pending"])
def test_a_side_file_that_nobody_known_made_is_not_deleted(
    rows: Path, out: Path, kind: str
) -> None:
    side = out.with_name(f"{out.name}.{kind}.jsonl")
    side.parent.mkdir()
    side.write_text("mine")
    with pytest.raises(ChangedInputError, match=f"{kind}.jsonl: exists, and no manifest"):
        score(out, lambda: None, rows)
    assert side.read_text() == "mine"
    score(out, lambda: None, rows, overwrite=True)
    assert not side.exists()


def test_a_link_to_nowhere_that_appears_at_the_output_stays(rows: Path, out: Path) -> None:
    with pytest.raises(ChangedInputError, match=r"out\.jsonl: appeared while this run worked"):
        score(out, lambda: out.symlink_to("nowhere"), rows)
    assert out.is_symlink()
