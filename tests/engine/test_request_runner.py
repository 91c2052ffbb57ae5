"""Requests to replies: bounded, ordered, shared, committed; failures stay failures."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from prism_cli.engine import call_pool, control
from prism_cli.engine.control import Control
from prism_cli.engine.request_queue import RequestQueue, answer
from prism_cli.engine.request_runner import RequestRunner, Unanswered
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import (
    InterruptedRunError,
    LimitReachedError,
    PrerequisiteError,
    ProviderError,
    RefusalError,
    StorageError,
)
from prism_cli.ports import Reply, Request, Usage, request
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import LocalLedger
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.fakes import ScoreStage, ScriptedBatch, ScriptedCalls, score_of

TEXTS = [row["document"] for row in make_pairs(40)]


def score(backend: ScriptedCalls | ScriptedBatch, folder: Path, **more: Any) -> RunSummary:
    given = write_jsonl(folder / "in.jsonl", make_pairs(40))
    options = RunOptions(output=folder / "out.jsonl", quiet=True, **more)
    return run_rows(ScoreStage(backend), [str(given)], options)


def signal_once(number: signal.Signals, after: int) -> Callable[[int], None]:
    """Send this process a signal when so many calls have begun; once, a second one would end it."""
    sent: list[int] = []

    def send(count: int) -> None:
        if count >= after and not sent:
            sent.append(count)
            os.kill(os.getpid(), number)

    return send


def test_calls_keep_row_order_and_bound(tmp_path: Path) -> None:
    backend = ScriptedCalls(concurrency=3)
    backend.script = {text: [0.03 - i * 0.0007] for i, text in enumerate(TEXTS)}  # first = slowest
    score(backend, tmp_path)
    assert [row["score"] for row in read_jsonl(tmp_path / "out.jsonl")] == [*map(score_of, TEXTS)]
    assert backend.most_in_flight == 3
    assert sorted(backend.asked) == sorted(TEXTS)


def test_slow_calls_overlap(tmp_path: Path) -> None:
    backend = ScriptedCalls(concurrency=40, seconds=0.2)
    score(backend, tmp_path)
    assert backend.most_in_flight >= 20


def test_a_failed_call_leaves_its_row_pending_and_the_next_run_asks_it_alone(
    tmp_path: Path,
) -> None:
    backend = ScriptedCalls(script={TEXTS[7]: [ProviderError("503, tried for 60 s")]})
    summary = score(backend, tmp_path)
    out = tmp_path / "out.jsonl"
    assert (summary.exit_code, summary.counts.pending, summary.counts.done) == (5, 1, 39)
    assert summary.unpublished == [str(out)]
    assert summary.pending_reasons == {"503, tried for 60 s": 1}
    assert not out.exists()
    again = ScriptedCalls()
    assert score(again, tmp_path).exit_code == 0
    assert again.asked == [TEXTS[7]]
    assert len(read_jsonl(out)) == 40


def test_accept_pending_publishes_the_rest_and_a_later_run_completes_it(tmp_path: Path) -> None:
    out, pending = tmp_path / "out.jsonl", tmp_path / "out.jsonl.pending.jsonl"
    failing = ScriptedCalls(script={TEXTS[7]: [ProviderError("503")]})
    assert score(failing, tmp_path, accept_pending=True).exit_code == 0
    assert len(read_jsonl(out)) == 39
    assert read_jsonl(pending) == [make_pair(7)]
    again = ScriptedCalls()
    summary = score(again, tmp_path)
    assert again.asked == [TEXTS[7]]
    assert summary.outputs == [str(out)]
    assert [row["query_id"] for row in read_jsonl(out)] == [f"q{i}" for i in range(40)]
    assert not pending.exists()


def test_pending_again_leaves_the_accepted_output_in_place(tmp_path: Path) -> None:
    def fail() -> ScriptedCalls:
        return ScriptedCalls(script={TEXTS[7]: [ProviderError("503")]})

    score(fail(), tmp_path, accept_pending=True)
    before = (tmp_path / "out.jsonl").read_bytes()
    assert score(fail(), tmp_path).exit_code == 5
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert score(ScriptedCalls(), tmp_path).exit_code == 0


def test_a_provider_that_is_down_is_asked_no_more(tmp_path: Path) -> None:
    backend = ScriptedCalls(concurrency=2)
    backend.script = {text: [PrerequisiteError("401: the key is refused")] for text in TEXTS}
    summary = score(backend, tmp_path)
    assert len(backend.asked) <= 2
    assert summary.exit_code == 5
    assert summary.pending_reasons == {"401: the key is refused": 40}


def test_a_refusal_is_final_and_kept_with_its_reason(tmp_path: Path) -> None:
    backend = ScriptedCalls(
        script={TEXTS[1]: [RefusalError("content filter")], TEXTS[2]: [Reply({}, "too long")]}
    )
    summary = score(backend, tmp_path, max_rejects=1.0)
    assert summary.counts.rejected == 2
    aside = read_jsonl(tmp_path / "out.jsonl.rejects.jsonl")
    assert [row["reason"] for row in aside] == ["content filter", "too long"]
    again = ScriptedCalls()
    score(again, tmp_path, max_rejects=1.0, overwrite=True)
    assert again.asked == []


def test_a_bug_in_a_backend_costs_no_reply_that_arrived(tmp_path: Path) -> None:
    backend = ScriptedCalls(concurrency=4, seconds=0.02)
    backend.script = {TEXTS[10]: [ZeroDivisionError("bug")]}
    with pytest.raises(ZeroDivisionError):
        score(backend, tmp_path)
    again = ScriptedCalls()
    score(again, tmp_path)
    assert set(again.asked) == set(TEXTS) - (set(backend.asked) - {TEXTS[10]})


def test_a_ledger_that_cannot_be_written_stops_the_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("disk full")

    monkeypatch.setattr(Ledger, "commit", full)
    backend = ScriptedCalls(concurrency=4, seconds=0.01)
    with pytest.raises(StorageError):
        score(backend, tmp_path)
    assert len(backend.asked) == 4
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("kind", [ScriptedBatch, ScriptedCalls])
def test_time_limit_keeps_what_was_answered(
    tmp_path: Path, kind: type[ScriptedBatch | ScriptedCalls]
) -> None:
    first, second = kind(seconds=0.3), kind()
    with pytest.raises(LimitReachedError) as caught:
        score(first, tmp_path, max_seconds=0.8)
    assert caught.value.exit_code == 7
    score(second, tmp_path)

    def flat(asked: list[Any]) -> list[str]:
        return [text for call in asked for text in (call if isinstance(call, list) else [call])]

    assert 0 < len(flat(first.asked)) < 40
    assert sorted(flat(first.asked) + flat(second.asked)) == sorted(TEXTS)


def test_cost_limit_counts_calls_in_flight_too(tmp_path: Path) -> None:
    backend = ScriptedCalls(concurrency=2)
    with pytest.raises(LimitReachedError, match="--max-cost"):
        score(backend, tmp_path, max_cost=0.0105)
    assert 11 <= len(backend.asked) <= 13


@pytest.mark.parametrize(("max_cost", "asked"), [(0.05, 40), (0.0305, 21)])
def test_calls_wait_while_those_in_flight_reserve_more_than_they_cost(
    max_cost: float, asked: int, tmp_path: Path
) -> None:
    class Wordy(ScriptedCalls):
        def estimate(self, payloads: Sequence[Any]) -> Usage:
            return Usage(usd=0.01)  # ten times as much

    backend = Wordy(concurrency=8, seconds=0.001)
    if asked == 40:
        score(backend, tmp_path, max_cost=max_cost)
    else:
        with pytest.raises(LimitReachedError, match="--max-cost"):
            score(backend, tmp_path, max_cost=max_cost)
    assert asked <= len(backend.asked) <= max_cost / 0.001


def test_the_first_signal_waits_for_calls_in_flight_and_commits_them(tmp_path: Path) -> None:
    backend = ScriptedCalls(concurrency=4, seconds=0.1)
    backend.after_call = signal_once(signal.SIGTERM, after=8)
    with pytest.raises(InterruptedRunError) as caught:
        score(backend, tmp_path)
    assert caught.value.exit_code == 143
    again = ScriptedCalls()
    score(again, tmp_path)
    assert sorted(backend.asked + again.asked) == sorted(TEXTS)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_calls_that_outlast_the_grace_are_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_pool, "GRACE_SECONDS", 0.1)
    backend = ScriptedCalls(concurrency=4, script={TEXTS[5]: [3600.0]})
    backend.after_call = signal_once(signal.SIGINT, after=12)
    with pytest.raises(InterruptedRunError) as caught:
        score(backend, tmp_path)
    assert caught.value.exit_code == 130
    again = ScriptedCalls()
    score(again, tmp_path)
    assert sorted(backend.asked + again.asked) == sorted([*TEXTS, TEXTS[5]])


def test_a_batch_that_outlasts_the_grace_is_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "GRACE_SECONDS", 0.2)
    slow = ScriptedBatch(seconds=0.01)
    awaited: list[int] = []

    def stuck(number: int) -> None:
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
            awaited.append(number)

    slow.before_batch = stuck
    with pytest.raises(InterruptedRunError) as caught:
        score(slow, tmp_path)
    assert not awaited
    assert caught.value.exit_code == 143
    again = ScriptedBatch()
    score(again, tmp_path)
    assert sum(map(len, again.asked)) == 40 - 16  # the two batches before it were kept


def test_rows_pending_on_standard_output_are_told_by_the_exit_code(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(40))
    for accepted, code in ((False, 5), (True, 0)):
        failing = ScriptedCalls(script={TEXTS[7]: [ProviderError("503")]})
        options = RunOptions(output=Path("-"), quiet=True, accept_pending=accepted)
        assert run_rows(ScoreStage(failing), [str(given)], options).exit_code == code
        assert capsysbinary.readouterr().out.count(b"\n") == 39


def test_equal_requests_are_shared_and_backends_kept_apart(tmp_path: Path) -> None:
    first, second = ScriptedCalls(fingerprint="one"), ScriptedCalls(fingerprint="two")
    runner = RequestRunner("test", lambda: Ledger(tmp_path / "ledger.sqlite"), Control())
    asked = [request(first, "a", "a"), request(first, "a", "a"), request(second, "a", "a")]
    replies = answer(runner, asked)
    runner.close()
    assert (first.asked, second.asked) == (["a"], ["a"])
    assert runner.totals.shared == 1
    assert set(replies) == {asked[0].key, asked[2].key}
    assert asked[0].key == asked[1].key != asked[2].key


def test_servers_of_one_step_are_asked_at_once_and_commits_stay_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, real = [], Ledger.commit
    in_flight: list[int] = []

    def commit(*given: Any) -> None:
        at_work.append("in")
        time.sleep(0.02)
        real(*given)
        at_work.append("out")

    class Counted(ScriptedCalls):
        async def answer_one(self, payload: str) -> Reply:
            in_flight.append(1 + sum(server.in_flight for server in servers))
            return await super().answer_one(payload)

    monkeypatch.setattr(Ledger, "commit", commit)
    servers = [Counted(fingerprint=f"s{n}", seconds=0.3) for n in range(5)]
    servers[1].script = {"a": [PrerequisiteError("401")]}
    servers[2].script = {"b": [ProviderError("503")]}
    servers[3].lost_calls = 2
    local = ScriptedBatch()
    runner = RequestRunner("test", lambda: Ledger(tmp_path / "ledger.sqlite"), Control())
    runner.begin_output("out", lambda: LocalLedger(tmp_path / "local.sqlite"))
    asked = [request(backend, text, text) for backend in (*servers, local) for text in "ab"]
    replies = answer(runner, asked)
    runner.close()
    assert max(in_flight) >= 6  # one server after the other: 2
    missing = {asked[2].key: "401", asked[5].key: "503"}
    for each in asked:
        reply = replies[each.key]
        if each.key in missing:
            assert reply == Unanswered(missing[each.key])
        elif each is not asked[3]:  # of the server that is down: undetermined
            assert isinstance(reply, Reply)
    assert at_work == ["in", "out"] * (len(at_work) // 2)
    assert runner.totals.lost_calls == 2


def test_key_parts_are_told_apart() -> None:
    backend = ScriptedBatch()
    keys = {request(backend, None, *parts).key for parts in (("ab", "c"), ("a", "bc"), ("abc",))}
    assert len(keys) == 3


def test_a_reply_is_seen_only_after_its_commit(tmp_path: Path) -> None:
    backend = ScriptedCalls(concurrency=2, seconds=0.01)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    runner = RequestRunner("test", lambda: ledger, Control())
    order: list[str] = []
    real = runner.commit

    def slow_commit(done: Any) -> None:
        time.sleep(0.05)
        real(done)
        order.extend(f"commit {asked.payload}" for asked, _ in done)

    runner.commit = slow_commit  # type: ignore[method-assign]
    backend.after_call = lambda count: order.append(f"call {count}")
    replies = answer(runner, [request(backend, text, text) for text in "abcd"])
    runner.close()
    assert not any(isinstance(reply, Unanswered) for reply in replies.values())
    assert order.index("call 4") > order.index("commit a")  # a slot is free after the commit only


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "from prism_cli.engine.control import Control\n"
        "with Control().handle_signals():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
    )

    async def run() -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            "python", "-c", code, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode, said

    assert asyncio.run(run()) == (143, b"still here\n")


def test_requests_of_one_window_meet_the_ledger_before_the_backend(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    backend = ScriptedCalls()
    known = request(backend, "a", "a")
    ledger.commit("test", "out", [(known, Reply({"score": 0.25}))])
    runner = RequestRunner("test", lambda: ledger, Control())
    asked: list[Request] = [known, request(backend, "b", "b")]
    replies = answer(runner, asked)
    runner.close()
    assert backend.asked == ["b"]
    assert replies[known.key] == Reply({"score": 0.25})


class InOrder(ScriptedBatch):
    """Plans pairs of payloads as they come."""

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return [list(range(i, min(i + 2, len(payloads)))) for i in range(0, len(payloads), 2)]


def test_what_is_asked_together_does_not_depend_on_when_it_was_looked_up(tmp_path: Path) -> None:
    def asked(*looks: list[tuple[int, str]]) -> list[list[str]]:
        backend = InOrder()
        ledger = Ledger(tmp_path / f"{len(looks)}.sqlite")
        runner = RequestRunner("test", lambda: ledger, Control())
        runner.begin_output("out", lambda: LocalLedger(tmp_path / f"{len(looks)}.local.sqlite"))
        questions = RequestQueue(runner)
        for look in looks:
            questions.add(0, [(index, request(backend, text, text)) for index, text in look])
        questions.ask(0)
        assert len(questions.replies) == 4
        runner.close()
        return backend.asked

    at_once = asked([(0, "a"), (1, "b"), (2, "c"), (3, "a"), (3, "d")])
    assert at_once == [["a", "b"], ["c", "d"]]
    assert asked([(3, "a"), (3, "d")], [(0, "a"), (2, "c")], [(1, "b")]) == at_once


def test_replies_that_wait_for_a_commit_when_the_grace_ends_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_pool, "GRACE_SECONDS", 0.05)
    real = Ledger.commit

    def slow(*given: Any) -> None:
        time.sleep(0.8)
        real(*given)

    backend = ScriptedCalls(concurrency=4, seconds=0.01)
    backend.after_call = signal_once(signal.SIGTERM, after=2)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "commit", slow)
        with pytest.raises(InterruptedRunError):
            score(backend, tmp_path)
    again = ScriptedCalls()
    score(again, tmp_path)
    assert len(backend.asked) == 4
    assert sorted(backend.asked + again.asked) == sorted(TEXTS)


def test_what_waits_for_its_commit_still_counts_against_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Priced(ScriptedCalls):
        def estimate(self, payloads: Sequence[Any]) -> Usage:
            return Usage(usd=0.001)

    commit = Ledger.commit

    def slow(ledger: Ledger, *given: Any) -> None:
        time.sleep(0.05)
        commit(ledger, *given)

    monkeypatch.setattr(Ledger, "commit", slow)
    backend = Priced(concurrency=4, script={text: [0.01 * (i % 4)] for i, text in enumerate(TEXTS)})
    with pytest.raises(LimitReachedError):
        score(backend, tmp_path, max_cost=0.0105)
    assert 7 <= len(backend.asked) <= 10  # the next would be the eleventh
