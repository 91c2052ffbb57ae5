"""The same command again: nothing twice, nothing lost, nothing replaced unasked."""

import gzip
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.engine.jobs import Job
from prism_cli.engine.report import summary_lines
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.spread import Here
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import (
    ChangedInputError,
    LimitReachedError,
    RefusedOutputsError,
    ShardLostError,
    UsageError,
)
from prism_cli.ports import Reply, Usage
from prism_cli.shards.lock import output_lock
from tests.factories import Row, jsonl, make_pair, make_pairs, read_jsonl, write_jsonl
from tests.fakes import EchoStage, RoutedStage, ScoreStage, ScriptedBatch, ScriptedCalls


def score(
    backend: ScriptedBatch | ScriptedCalls, given: Path | list[Path], out: Path | None, **more: Any
) -> RunSummary:
    inputs = [str(path) for path in (given if isinstance(given, list) else [given])]
    return run_rows(ScoreStage(backend), inputs, RunOptions(output=out, quiet=True, **more))


def manifest(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(Path(f"{out}.manifest.json").read_bytes())
    return content


class RefusingBatch(ScriptedBatch):
    """Answers nothing."""

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        return [Reply({}, "filtered") for _ in super().answer(payloads)]


class RefusingCalls(ScriptedCalls):
    """A server that answers nothing, for money."""

    async def answer_one(self, payload: str) -> Reply:
        await super().answer_one(payload)
        return Reply({}, "filtered", Usage(1, 0, 0.001))


SetClock = Callable[[int], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the wall clock so many days off."""
    true = time.time_ns

    def set_clock(days: int) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: true() + days * 86_400 * 10**9)

    return set_clock


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "in.jsonl", make_pairs(50))


def test_a_finished_output_is_left_alone(tmp_path: Path, pairs: Path) -> None:
    out, backend = tmp_path / "out.jsonl", ScriptedBatch()
    score(backend, pairs, out)
    before = out.stat()
    again = score(backend, pairs, out)
    assert again.finished_before == [str(out)]
    assert again.counts.rows == 0
    assert again.exit_code == 0
    assert len(backend.asked) == 7
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_second_output_from_the_same_rows_asks_no_server(tmp_path: Path, pairs: Path) -> None:
    first, second = ScriptedCalls(), ScriptedCalls()
    score(first, pairs, tmp_path / "a.jsonl")
    summary = score(second, pairs, tmp_path / "b.jsonl")
    assert second.asked == []
    assert (summary.usage.asked, summary.usage.from_ledger) == (0, 50)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_another_fingerprint_is_another_question(tmp_path: Path, pairs: Path) -> None:
    score(ScriptedBatch(), pairs, tmp_path / "a.jsonl")
    other = ScriptedBatch(fingerprint="batch-2")
    score(other, pairs, tmp_path / "b.jsonl")
    assert sum(map(len, other.asked)) == 50


def test_a_grown_input_is_continued(tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "out.jsonl"
    pairs.write_bytes(jsonl(make_pairs(50)) + b'{"query": "torn')
    score(ScriptedCalls(), pairs, out, max_rejects=1.0)
    assert Path(f"{out}.rejects.jsonl").exists()
    pairs.write_bytes(jsonl(make_pairs(50)) + b'{"query": "torn", "document": "no more"}\n')
    backend = ScriptedCalls()
    score(backend, pairs, out)
    assert backend.asked == ["no more"]
    assert len(read_jsonl(out)) == 51
    assert not Path(f"{out}.rejects.jsonl").exists()
    assert manifest(out)["attempts"] == 2
    assert manifest(out)["usage"]["asked"] == 51


def test_changed_bytes_are_refused_with_the_file(tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedCalls(), pairs, out)
    kept = out.read_bytes()
    write_jsonl(pairs, [make_pair(0, document="changed"), *make_pairs(50)[1:]])
    with pytest.raises(ChangedInputError, match=r"in\.jsonl: its bytes changed") as caught:
        score(ScriptedCalls(), pairs, out)
    assert caught.value.exit_code == 2
    assert out.read_bytes() == kept
    backend = ScriptedCalls()
    score(backend, pairs, out, overwrite=True)
    assert backend.asked == ["changed"]
    assert read_jsonl(out)[0]["document"] == "changed"


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"config": {"lora": {"r": 16}}}, "lora.r: was 8, is 16"),
        ({"limit": 7}, "limit: was not set, is 7"),
        ({"fields": {"document": "passage"}}, "fields.document: was not set, is 'passage'"),
    ],
    ids=["config", "limit", "fields"],
)
def test_a_changed_config_is_refused_with_the_difference(
    tmp_path: Path, pairs: Path, change: dict[str, Any], difference: str
) -> None:
    out = tmp_path / "out.jsonl"
    base: dict[str, Any] = {"config": {"lora": {"r": 8}}}
    score(ScriptedBatch(), pairs, out, **base)
    with pytest.raises(ChangedInputError, match=difference):
        score(ScriptedBatch(), pairs, out, **{**base, **change})


def test_a_changed_dependency_is_refused(tmp_path: Path, pairs: Path) -> None:
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_pairs(3))
    score(ScriptedBatch(), pairs, tmp_path / "out.jsonl", dependencies=[corpus])
    write_jsonl(corpus, make_pairs(4))
    with pytest.raises(ChangedInputError, match=r"corpus\.jsonl: its bytes changed"):
        score(ScriptedBatch(), pairs, tmp_path / "out.jsonl", dependencies=[corpus])


def test_a_file_that_nobody_vouches_for_is_never_replaced(tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("precious\n")
    for content in (None, "{}", "not json", '{"schema": 1, "stage": "score"}'):
        if content:
            Path(f"{out}.manifest.json").write_text(content)
        with pytest.raises(ChangedInputError, match="no manifest says what made it"):
            score(ScriptedBatch(), pairs, out)
        assert out.read_text() == "precious\n"


def test_one_refused_output_keeps_no_other_from_being_worked(tmp_path: Path) -> None:
    shards, out = tmp_path / "shards", tmp_path / "out"
    shards.mkdir()
    for name in "abcde":
        write_jsonl(shards / f"{name}.jsonl", [make_pair(0, document=name)])
    score(ScriptedBatch(), shards, out)
    write_jsonl(shards / "a.jsonl", [make_pair(0, document="changed")])
    (out / "b.jsonl").write_text("edited\n")
    (out / "c.jsonl.manifest.json").unlink()
    write_jsonl(shards / "d.jsonl", [make_pair(0, document="d"), make_pair(1)])
    write_jsonl(shards / "f.jsonl", [make_pair(0, document="f")])
    (out / "e.jsonl.manifest.json").write_bytes(b"{")
    before = {name: (out / f"{name}.jsonl").read_bytes() for name in "abce"}
    for others in ("the others were worked", "the others were finished before"):
        summary = score(ScriptedBatch(), shards, out)
        assert summary.exit_code == 2
        assert f"4 of 6 outputs were left as they are; {others}\n" in str(summary.refused)
        assert {name: (out / f"{name}.jsonl").read_bytes() for name in "abce"} == before
        assert len(read_jsonl(out / "d.jsonl")) == 2
        assert len(read_jsonl(out / "f.jsonl")) == 1
    words = str(summary.refused)
    assert f"  {out / 'a.jsonl'}: {shards / 'a.jsonl'}: its bytes changed since" in words
    assert f"  {out / 'b.jsonl'}: was edited" in words
    assert f"  {out / 'c.jsonl'}, {out / 'e.jsonl'}: no manifest says what made it" in words
    assert "--if-changed redo" in words
    assert "--overwrite" in words

    redone = score(ScriptedBatch(), shards, out, if_changed="redo")
    assert redone.outputs == [str(out / "a.jsonl")]
    assert "3 of 6 outputs were left as they are; 1 worked, 2 finished" in str(redone.refused)
    assert read_jsonl(out / "a.jsonl")[0]["document"] == "changed"
    assert redone.exit_code == 2
    score(ScriptedBatch(), shards, out, overwrite=True)
    assert score(ScriptedBatch(), shards, out).exit_code == 0


def test_other_settings_are_refused_for_all_outputs_in_one_message(tmp_path: Path) -> None:
    shards, out = tmp_path / "shards", tmp_path / "out"
    shards.mkdir()
    for number in range(30):
        write_jsonl(shards / f"{number:02}.jsonl", [make_pair(number)])
    score(ScriptedBatch(), shards, out, config={"model": "a"})
    write_jsonl(shards / "00.jsonl", [make_pair(99)])
    with pytest.raises(RefusedOutputsError) as caught:
        score(ScriptedBatch(), shards, out, config={"model": "b"})
    words = str(caught.value)
    assert caught.value.exit_code == 2
    assert words.count("\n") < 8
    assert "and 24 more: model: was 'a', is 'b'" in words
    redone = score(ScriptedBatch(), shards, out, config={"model": "b"}, if_changed="redo")
    assert (len(redone.outputs), redone.exit_code) == (30, 0)


def test_a_folder_is_not_finished_with_other_settings(tmp_path: Path) -> None:
    shards, out = tmp_path / "shards", tmp_path / "out"
    shards.mkdir()
    write_jsonl(shards / "0.jsonl", [make_pair(0)])
    write_jsonl(shards / "1.jsonl", [make_pair(1)])
    score(ScriptedBatch(), shards, out, config={"model": "a"})
    write_jsonl(shards / "2.jsonl", [make_pair(2)])
    (out / "1.jsonl").unlink()
    with pytest.raises(RefusedOutputsError, match="no other was begun") as caught:
        score(ScriptedBatch(), shards, out, config={"model": "b"})
    assert caught.value.exit_code == 2
    assert sorted(path.name for path in out.glob("*.jsonl")) == ["0.jsonl"]
    assert score(ScriptedBatch(), shards, out, config={"model": "a"}).exit_code == 0
    write_jsonl(shards / "0.jsonl", [make_pair(9)])
    write_jsonl(shards / "3.jsonl", [make_pair(3)])
    of_input = score(ScriptedBatch(), shards, out, config={"model": "a"})
    assert (len(of_input.outputs), of_input.exit_code) == (1, 2)


def test_a_shard_of_which_a_spread_says_nothing_is_told(tmp_path: Path) -> None:
    class Forgetful(Here):
        def work(
            self, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard
        ) -> Iterator[ShardReport]:
            yield from super().work(jobs[1:], worker, board)

    shards, out = tmp_path / "shards", tmp_path / "out"
    shards.mkdir()
    for number in range(3):
        write_jsonl(shards / f"{number}.jsonl", [make_pair(number)])
    summary = run_rows(EchoStage(), [str(shards)], RunOptions(out, quiet=True), Forgetful())
    assert summary.exit_code == ShardLostError.exit_code
    assert "0.jsonl: here handed it out and said nothing" in str(summary.refused)


def test_a_changed_input_is_made_again_where_that_is_wished(tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedBatch(), pairs, out)
    write_jsonl(pairs, make_pairs(3))
    with pytest.raises(ChangedInputError, match="--if-changed redo"):
        score(ScriptedBatch(), pairs, out)
    score(ScriptedBatch(), pairs, out, if_changed="redo")
    assert len(read_jsonl(out)) == 3
    out.write_text("edited\n")
    with pytest.raises(ChangedInputError, match="was edited"):
        score(ScriptedBatch(), pairs, out, if_changed="redo")


def test_a_locked_or_damaged_shard_keeps_no_other_from_being_worked(tmp_path: Path) -> None:
    shards, out = tmp_path / "shards", tmp_path / "out"
    shards.mkdir()
    for name in "abc":
        write_jsonl(shards / f"{name}.jsonl", make_pairs(3))
    with output_lock(out / "b.jsonl"):
        summary = score(ScriptedBatch(), shards, out)
    assert (len(summary.outputs), summary.exit_code) == (2, 75)
    assert "held by another run" in str(summary.refused)
    (shards / "aa.jsonl.gz").write_bytes(gzip.compress(jsonl(make_pairs(9)))[:-20])
    summary = score(ScriptedBatch(), shards, out)
    assert summary.outputs == [str(out / "b.jsonl")]
    assert summary.exit_code == 3
    assert "aa.jsonl.gz: the compressed data is damaged" in str(summary.refused)
    assert not list(out.glob("aa*.gz"))


def test_outputs_whose_inputs_are_gone_are_named_and_stay(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    for name in "ab":
        write_jsonl(shards / f"{name}.jsonl", make_pairs(3))
    score(ScriptedBatch(), shards, None)
    (shards / "a.jsonl").unlink()
    gone, made = str(shards / "a.jsonl"), tmp_path / "shards.score" / "a.jsonl"
    summary = score(ScriptedBatch(), shards, None)
    assert summary.inputs_gone == [(str(made), gone)]
    assert summary.exit_code == 0
    assert any(gone in line and str(made) in line for line in summary_lines(summary))
    assert made.is_file()
    assert score(ScriptedBatch(), shards / "b.jsonl", tmp_path / "b.jsonl").inputs_gone == []


def test_finished_shards_are_skipped_and_new_ones_worked(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    write_jsonl(shards / "a.jsonl", make_pairs(3))
    score(ScriptedBatch(), shards, None)
    made = tmp_path / "shards.score"
    before = (made / "a.jsonl").stat().st_mtime_ns
    write_jsonl(shards / "b.jsonl", [make_pair(9)])
    summary = score(ScriptedBatch(), shards, None)
    assert (made / "a.jsonl").stat().st_mtime_ns == before
    assert summary.finished_before == [str(made / "a.jsonl")]
    assert summary.outputs == [str(made / "b.jsonl")]
    assert len(read_jsonl(made / "b.jsonl")) == 1


def test_a_merged_output_takes_in_a_new_input_and_refuses_a_lost_one(tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "1.jsonl", make_pairs(2))
    second = write_jsonl(tmp_path / "2.jsonl", [make_pair(2)])
    out = tmp_path / "all.jsonl"
    score(ScriptedBatch(), [second], out)
    score(ScriptedBatch(), [first, second], out)
    assert [row["query_id"] for row in read_jsonl(out)] == ["q0", "q1", "q2"]
    with pytest.raises(ChangedInputError, match=r"2\.jsonl: was an input, and is none now"):
        score(ScriptedBatch(), [first], out)


def test_an_output_that_was_edited_is_noticed(tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedBatch(), pairs, out)
    whole, times = out.read_bytes(), out.stat()
    for edited in (whole + b"{}\n", whole.replace(b"q0", b"q9"), b""):
        out.write_bytes(edited)
        write_jsonl(pairs, make_pairs(51))  # grown: it would be continued
        with pytest.raises(ChangedInputError, match=r"out\.jsonl: was edited") as caught:
            score(ScriptedBatch(), pairs, out)
        assert caught.value.exit_code == 2
        assert out.read_bytes() == edited
    out.write_bytes(whole)  # the same bytes at another time
    write_jsonl(pairs, make_pairs(50))
    assert score(ScriptedBatch(), pairs, out).finished_before == [str(out)]
    os.utime(out, ns=(times.st_mtime_ns, times.st_mtime_ns))
    out.write_bytes(b"x")
    score(ScriptedBatch(), pairs, out, overwrite=True)
    assert out.read_bytes() == whole


def test_an_edit_is_noticed_also_after_a_killed_attempt_to_go_on(
    tmp_path: Path, pairs: Path
) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedBatch(), pairs, out)
    write_jsonl(pairs, make_pairs(51))

    def stop(_number: int) -> None:
        raise ChangedInputError("as if killed")

    with pytest.raises(ChangedInputError, match="as if killed"):
        score(ScriptedBatch(before_batch=stop), pairs, out)
    out.write_bytes(b"edited\n")
    with pytest.raises(ChangedInputError, match="was edited"):
        score(ScriptedBatch(), pairs, out)


def test_what_an_earlier_version_finished_is_finished(tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedBatch(), pairs, out)
    said = manifest(out)
    for name in ("attempt", "outputs", "replaces"):
        del said[name]
    Path(f"{out}.manifest.json").write_bytes(orjson.dumps(said))
    assert score(ScriptedBatch(), pairs, out).finished_before == [str(out)]
    write_jsonl(pairs, make_pairs(51))
    score(ScriptedBatch(), pairs, out)
    assert len(read_jsonl(out)) == 51


@pytest.mark.parametrize(
    "change",
    [{"inputs": 5}, {"inputs": [None]}, {"config": []}, {"counts": None}, {"attempts": "x"},
     {"finished": "yes"}, {"outputs": {"out.jsonl": 3}}, {"config_fingerprint": None}],
)  # fmt: skip
def test_a_damaged_manifest_vouches_for_nothing(
    tmp_path: Path, pairs: Path, change: dict[str, Any]
) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedBatch(), pairs, out)
    Path(f"{out}.manifest.json").write_bytes(orjson.dumps(manifest(out) | change))
    with pytest.raises(ChangedInputError, match="no manifest says what made it"):
        score(ScriptedBatch(), pairs, out)
    score(ScriptedBatch(), pairs, out, overwrite=True)
    assert score(ScriptedBatch(), pairs, out).finished_before == [str(out)]


def test_a_moved_input_with_the_same_bytes_is_the_same_input(tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedBatch(), pairs, out)
    moved = pairs.rename(tmp_path / "moved.jsonl")
    assert score(ScriptedBatch(), moved, out).finished_before == [str(out)]


@pytest.mark.parametrize("days", [0, -2, 700], ids=["right", "back", "ahead"])
def test_fresh_asks_again_once_and_goes_on_after_a_stop_whatever_the_clock_says(
    tmp_path: Path, pairs: Path, clock: SetClock, days: int
) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedBatch(), pairs, out)

    def stop(number: int) -> None:
        if number == 3:
            raise ChangedInputError("as if killed")

    stopped = ScriptedBatch(before_batch=stop)
    with pytest.raises(ChangedInputError):
        score(stopped, pairs, out, fresh=True, overwrite=True)
    assert sum(map(len, stopped.asked)) == 24
    clock(days)
    rest = ScriptedBatch()
    summary = score(rest, pairs, out, fresh=True, overwrite=True)
    assert sum(map(len, rest.asked)) == summary.usage.asked == 26
    assert manifest(out)["usage"]["asked"] == summary.spent["asked"] == 100
    assert "with earlier attempts: 100 asked" in summary_lines(summary)
    once_more = ScriptedBatch()
    score(once_more, pairs, out, fresh=True, overwrite=True)
    assert sum(map(len, once_more.asked)) == 50


def test_refusals_that_a_stopped_attempt_asked_again_are_not_asked_once_more(
    tmp_path: Path, pairs: Path
) -> None:
    out, again = tmp_path / "out.jsonl", {"retry_final": True, "overwrite": True}
    score(RefusingCalls(), pairs, out, max_rejects=1.0)
    with pytest.raises(LimitReachedError):
        score(RefusingCalls(concurrency=1), pairs, out, max_cost=0.024, **again)
    rest = RefusingCalls()
    score(rest, pairs, out, max_rejects=1.0, **again)
    assert len(rest.asked) == 26
    whole = RefusingCalls()
    score(whole, pairs, out, max_rejects=1.0, **again)
    assert len(whole.asked) == 50


@pytest.mark.parametrize("option", ["fresh", "retry_final"])
def test_what_two_outputs_of_a_run_ask_alike_is_asked_once(tmp_path: Path, option: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        write_jsonl(folder / f"{name}.jsonl", make_pairs(20))
    again = RefusingCalls()
    for backend, more in ((RefusingCalls(), {}), (again, {option: True, "overwrite": True})):
        score(backend, folder, tmp_path / "out", max_rejects=1.0, **more)
    assert len(again.asked) == 20


@pytest.mark.parametrize("option", ["fresh", "retry_final"])
def test_a_stopped_run_that_asks_again_over_a_folder_goes_on(tmp_path: Path, option: str) -> None:
    folder, out, more = tmp_path / "in", tmp_path / "out", {option: True, "overwrite": True}
    folder.mkdir()
    for part in range(3):
        pairs = [make_pair(i, document=f"{part} {i}") for i in range(20)]
        write_jsonl(folder / f"{part}.jsonl", pairs)

    def asked(**limits: Any) -> int:
        backend = RefusingCalls(concurrency=1)
        with suppress(LimitReachedError):
            score(backend, folder, out, max_rejects=1.0, **limits)
        return len(backend.asked)

    assert asked() == 60
    for _ in range(2):
        assert [asked(max_cost=0.05, **more), asked(max_cost=0.004, **more)] == [50, 4]
        assert asked(**more) == 6
    assert asked(**more) == 60
    assert asked() == 0
    assert not list(out.rglob("again-*"))


def fresh_calls(given: list[Path], out: Path, max_cost: float | None = None) -> int:
    """Return the number of calls of a run with --fresh."""
    backend = ScriptedCalls(concurrency=1)
    with suppress(LimitReachedError):
        score(backend, given, out, max_cost=max_cost, fresh=True, overwrite=True)
    return len(backend.asked)


def letters(folder: Path, names: str) -> list[Path]:
    """Return files of 9 rows each."""
    folder.mkdir(exist_ok=True)
    return [
        write_jsonl(
            folder / f"{name}.jsonl", [make_pair(i, document=f"{name}{i}") for i in range(9)]
        )
        for name in names
    ]


def test_what_another_command_asked_again_before_a_stop_does_not_count_later(
    tmp_path: Path,
) -> None:
    (a, b), out = letters(tmp_path, "ab"), tmp_path / "out"
    assert fresh_calls([a], out / "a.jsonl", max_cost=0.005) == 5
    assert [fresh_calls([a, b], out) for _ in range(2)] == [13, 18]


def test_each_run_that_asks_again_asks_again_although_an_output_is_refused(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    letters(folder, "ab")
    (folder / "c.jsonl.gz").write_bytes(b"not gzip")
    assert [fresh_calls([folder], out) for _ in range(3)] == [18, 18, 18]
    assert fresh_calls([folder], out, max_cost=0.0105) == 11
    assert fresh_calls([folder], out) == 7


def test_a_run_that_asks_again_goes_on_although_its_folder_has_grown(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    letters(folder, "ab")
    assert fresh_calls([folder], out, max_cost=0.0105) == 11
    letters(folder, "c")
    assert fresh_calls([folder], out) == 7 + 9


def test_a_run_that_asks_again_goes_on_with_an_output_that_other_outputs_were_begun_with(
    tmp_path: Path,
) -> None:
    (a, b, c), out = letters(tmp_path, "abc"), tmp_path / "out"
    assert fresh_calls([a, b], out, max_cost=0.0105) == 11
    assert fresh_calls([a, b, c], out, max_cost=0.0105) == 11
    assert [fresh_calls([a, b, c], out) for _ in range(2)] == [5, 27]


def test_only_a_run_that_was_stopped_is_said_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = letters(tmp_path, "ab"), tmp_path / "out"
    fresh_calls(given, out, max_cost=0.0105)
    options = RunOptions(out, fresh=True, overwrite=True, max_cost=0.001)

    def goes_on() -> bool:
        with pytest.raises(LimitReachedError):
            run_rows(ScoreStage(ScriptedCalls(concurrency=1)), list(map(str, given)), options)
        return "ended before all outputs were made again" in capsys.readouterr().err

    assert goes_on()
    stage = ScoreStage(ScriptedCalls())
    plan = plan_run(stage, list(map(str, given)), options)
    with monkeypatch.context() as patch:
        patch.setattr("prism_cli.engine.run_board._own_name", lambda: "another process")
        RunBoard(stage.name, "here", plan.jobs, plan.command).save(now=True)
    assert not goes_on()


def test_parts_that_run_one_after_another_are_not_called_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = list(map(str, letters(tmp_path, "ab")))
    for number in range(2):
        options = RunOptions(tmp_path / "out", fresh=True, overwrite=True, part=(number, 2))
        run_rows(ScoreStage(ScriptedCalls()), given, options)
    notes = [line for line in capsys.readouterr().err.splitlines() if "earlier run" in line]
    assert [("another part" in note, "stopped" in note) for note in notes] == [(True, False)]


def test_a_stop_between_two_outputs_of_a_run_that_asks_again_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", make_pairs(20, document=name))
    given, more = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"], {"fresh": True, "overwrite": True}
    score(ScriptedCalls(), given, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(Here, "work", lambda _, jobs, worker, __: iter([worker.work(jobs[0])]))
        score(ScriptedCalls(), given, tmp_path / "out", **more)
    rest = ScriptedCalls()
    score(rest, given, tmp_path / "out", **more)
    assert rest.asked == ["b"]


@pytest.mark.parametrize("days", [-2, 700], ids=["back", "ahead"])
def test_refusals_are_asked_again_once_while_the_clock_is_set(
    tmp_path: Path, pairs: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    monkeypatch.setattr("prism_cli.engine.shard.WINDOW_ROWS", 10)
    out = tmp_path / "out.jsonl"
    rows: list[Row] = [make_pair(number % 10) for number in range(30)]
    write_jsonl(pairs, rows)
    score(RefusingBatch(), pairs, out, max_rejects=1.0)
    again = RefusingBatch(before_batch=lambda _: clock(days))
    score(again, pairs, out, max_rejects=1.0, retry_final=True, overwrite=True)
    assert sum(map(len, again.asked)) == 10


def test_equal_rows_share_one_question_within_and_across_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prism_cli.engine.shard.WINDOW_ROWS", 4)
    rows: list[Row] = [make_pair(0, doc_id=f"d{i}") for i in range(10)]
    backend = ScriptedBatch()
    out = tmp_path / "out.jsonl"
    summary = score(backend, write_jsonl(tmp_path / "in.jsonl", rows), out)
    assert backend.asked == [[rows[0]["document"]]]
    assert summary.usage.asked == 1
    assert len({row["score"] for row in read_jsonl(out)}) == 1


def test_the_manifest_says_what_made_the_output(tmp_path: Path, pairs: Path) -> None:
    out = tmp_path / "out.jsonl"
    score(ScriptedBatch(), pairs, out, config={"seed": 3})
    said = manifest(out)
    assert said["stage"] == "score"
    assert said["config"] == {"seed": 3, "limit": None, "fields": {}}
    assert said["inputs"][0]["bytes"] == pairs.stat().st_size
    assert said["counts"]["written"] == 50
    assert said["usage"] == {
        "asked": 50, "local": 50, "lost_calls": 0, "from_ledger": 0, "shared": 0, "usd": 0.0,
        "input_tokens": sum(len(row["document"]) for row in make_pairs(50)), "output_tokens": 50,
    }  # fmt: skip
    assert said["figures"] == {"backends": 1}
    assert said["finished"] is True
    assert set(said["versions"]) >= {"prism", "python"}


def test_batches_do_not_depend_on_what_the_ledger_holds(tmp_path: Path, pairs: Path) -> None:
    whole = ScriptedBatch()
    score(whole, pairs, tmp_path / "a.jsonl")

    def stop(number: int) -> None:
        if number == 2:
            raise ChangedInputError("as if killed")

    first, second = (
        ScriptedBatch(before_batch=stop, fingerprint="x"),
        ScriptedBatch(fingerprint="x"),
    )
    with pytest.raises(ChangedInputError):
        score(first, pairs, tmp_path / "b.jsonl")
    score(second, pairs, tmp_path / "b.jsonl")
    assert first.asked + second.asked == whole.asked


def test_survey_stage_with_new_input_is_made_anew(tmp_path: Path, pairs: Path) -> None:
    options = RunOptions(output=tmp_path / "out", quiet=True)
    run_rows(RoutedStage(), [str(pairs)], options)
    assert run_rows(RoutedStage(), [str(pairs)], options).counts.rows == 0
    write_jsonl(pairs, make_pairs(52))
    run_rows(RoutedStage(), [str(pairs)], options)
    assert read_jsonl(tmp_path / "out" / "even.jsonl")[0]["of"] == 52


def test_an_input_that_grows_while_it_is_read_is_read_as_measured(tmp_path: Path) -> None:
    given, out = write_jsonl(tmp_path / "in.jsonl", make_pairs(20)), tmp_path / "out.jsonl"

    def grow(number: int) -> None:
        if number == 0:
            write_jsonl(given, make_pairs(30))

    score(ScriptedBatch(before_batch=grow), given, out)
    assert len(read_jsonl(out)) == 20
    score(ScriptedBatch(), given, out)
    assert len(read_jsonl(out)) == 30


def test_an_input_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prism_cli.engine.shard.WINDOW_ROWS", 4)
    given = tmp_path / "in.jsonl.gz"
    given.write_bytes(gzip.compress(jsonl(make_pairs(20)), mtime=0))

    def change(number: int) -> None:
        if number == 0:
            with given.open("ab") as file:
                file.write(gzip.compress(b"{}\n"))

    with pytest.raises(ChangedInputError, match="changed while it was read"):
        score(ScriptedBatch(before_batch=change), given, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["in.jsonl", "out.jsonl.rejects.jsonl", "out.jsonl.pending.jsonl"])
def test_an_output_never_replaces_its_input(tmp_path: Path, name: str) -> None:
    given = write_jsonl(tmp_path / name, make_pairs(3))
    out = given if name == "in.jsonl" else tmp_path / "out.jsonl"
    with pytest.raises(UsageError, match="is an input of this command"):
        score(ScriptedBatch(), given, out, overwrite=True)
    assert given.read_bytes() == jsonl(make_pairs(3))


def test_a_stage_without_requests_leaves_no_ledger(tmp_path: Path, pairs: Path) -> None:
    run_rows(EchoStage(), [str(pairs)], RunOptions(output=tmp_path / "o" / "out.jsonl", quiet=True))
    assert not list(tmp_path.rglob("ledger.sqlite"))
