"""A shard's bytes are a function of the shard and the config: what a model of this process says
depends on what it is asked together with, and that depends on nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import InterruptedRunError
from prism_cli.ports import Reply, Usage
from tests.factories import Row, make_pair, read_jsonl, write_jsonl
from tests.fakes import ScoreStage, ScriptedBatch, ScriptedCalls, score_of

WINDOW = 8
"""Rows that are planned together in these tests."""


class Rounding(ScriptedBatch):
    """Scores depend on all texts of a batch, in order, as rounding has it."""

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        super().answer(payloads)
        together = score_of("|".join(payloads))
        return [
            Reply({"score": [score_of(text), together]}, usage=Usage(1, 1)) for text in payloads
        ]


def rows(start: int, end: int) -> list[Row]:
    """Texts of many lengths; every seventh stands in all windows."""
    return [
        make_pair(n, document="often" if n % 7 == 0 else f"{'word ' * (n * 5 % 11)}{n}")
        for n in range(start, end)
    ]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prism_cli.engine.shard.WINDOW_ROWS", WINDOW)


def score(given: Path, out: Path, backend: Rounding | None = None, **more: Any) -> Rounding:
    backend = backend or Rounding(batch_rows=3)
    stage = ScoreStage(backend, ScriptedCalls())
    run_rows(stage, [str(given)], RunOptions(output=out, quiet=True, **more))
    return backend


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Of the rows 0 to 50, with a state of its own."""
    with monkeypatch.context() as state:
        state.setenv("PRISM_STATE", str(tmp_path / "apart"))
        score(write_jsonl(tmp_path / "whole.jsonl", rows(0, 50)), tmp_path / "expected.jsonl")
    return (tmp_path / "expected.jsonl").read_bytes()


def test_what_other_outputs_computed_before_changes_nothing(
    tmp_path: Path, expected: bytes
) -> None:
    for number, some in enumerate((rows(0, 20), rows(13, 50), rows(0, 50)[::-1])):
        score(write_jsonl(tmp_path / f"{number}.jsonl", some), tmp_path / f"{number}.out.jsonl")
    score(tmp_path / "whole.jsonl", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == expected


def test_a_directory_run_gives_the_same_bytes(tmp_path: Path, expected: bytes) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    for name, some in (("a", rows(0, 20)), ("b", rows(0, 50)), ("c", rows(10, 60))):
        write_jsonl(shards / f"{name}.jsonl", some)
    score(shards, tmp_path / "out")
    assert (tmp_path / "out" / "b.jsonl").read_bytes() == expected


@pytest.mark.parametrize("commit_each", [True, False])
@pytest.mark.parametrize("stop_at", [1, 2, 4, 9])
def test_a_stop_between_batches_changes_nothing(
    tmp_path: Path,
    expected: bytes,
    monkeypatch: pytest.MonkeyPatch,
    stop_at: int,
    commit_each: bool,
) -> None:
    if commit_each:
        monkeypatch.setattr("prism_cli.engine.local_runner.COMMIT_SECONDS", 0.0)
    given, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"

    def stop(number: int) -> None:
        if number == stop_at:
            raise InterruptedRunError(15)

    stopped = Rounding(batch_rows=3, before_batch=stop)
    with pytest.raises(InterruptedRunError):
        score(given, out, stopped)
    rest = score(given, out)
    assert out.read_bytes() == expected
    whole = score(given, tmp_path / "again.jsonl")
    assert stopped.asked + rest.asked == whole.asked  # no batch twice


def test_an_input_that_grew_gives_the_bytes_of_the_whole(tmp_path: Path, expected: bytes) -> None:
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_jsonl(given, rows(0, 43))
    before = score(given, out)
    write_jsonl(given, rows(0, 50))
    after = score(given, out)
    assert out.read_bytes() == expected
    assert len(after.asked) < len(before.asked)  # whole windows are not computed again


def test_a_changed_row_gives_the_bytes_of_the_whole(tmp_path: Path, expected: bytes) -> None:
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_jsonl(given, [make_pair(0, document="another"), *rows(1, 50)])
    score(given, out)
    write_jsonl(given, rows(0, 50))
    score(given, out, if_changed="redo")
    assert out.read_bytes() == expected
    score(given, out, overwrite=True, fresh=True)
    assert out.read_bytes() == expected


def test_rows_that_say_the_same_are_asked_once_in_an_output(tmp_path: Path) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", rows(0, 50))
    backend = score(given, tmp_path / "out.jsonl")
    assert sum(batch.count("often") for batch in backend.asked) == 1
    often = [row["score"] for row in read_jsonl(tmp_path / "out.jsonl")[::7]]
    assert all(output == often[0] for output in often)


def test_a_damaged_local_ledger_is_begun_anew(
    tmp_path: Path, expected: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    score(given, out)
    (kept,) = (tmp_path / ".prism" / "local").glob("*.sqlite")
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(kept.read_bytes()[:100] + b"x" * 5000)
    score(given, out, overwrite=True)
    assert out.read_bytes() == expected
    assert "computed again" in capsys.readouterr().err
