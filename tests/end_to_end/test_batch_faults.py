"""Batch mode against providers with faults: no answer is lost or paid for twice."""

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prism_cli.adapters.chat.batch_api import BatchApi
from prism_cli.engine.batch import client, runner
from prism_cli.engine.batch.store import BatchStore
from prism_cli.errors import StorageError
from prism_cli.ports import Reply, Request
from prism_cli.shards.ledger import Ledger
from tests.door import Done, prism
from tests.end_to_end.test_paid_judges import KEYS, asked, providers, rows, truth
from tests.factories import read_jsonl, write_jsonl
from tests.servers.batches import Batches, BatchPlan
from tests.servers.fault_server import FaultServer
from tests.servers.faults import Fault
from tests.servers.replies import Answers
from tests.servers.script import Settings

OUT = Path("data.relabel.jsonl")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.02)


def served(faults: tuple[Fault, ...] = (), **plan: Any) -> FaultServer:
    settings = Settings(batch=BatchPlan(polls=1, **plan))
    return FaultServer(faults, Answers(chat=truth), settings)


def relabel(server: FaultServer, *words: str) -> Done:
    write_jsonl(Path("data.jsonl"), rows(10))
    file = providers(server.base_url, batches="true")
    judge = ("--judge", "deepseek/deepseek-chat", "--audit", "0")
    return prism("relabel", "data.jsonl", *judge, "--provider-file", file, "--batch", *words)


def payments(server: FaultServer) -> list[int]:
    """Return how often each question was answered, most often first."""
    answered = [call for call in server.calls if call.kind == "batch_line"]
    return sorted(asked(answered).values(), reverse=True)


def with_batches(
    monkeypatch: pytest.MonkeyPatch, edit: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Let servers send each batch as `edit` makes it."""

    def sent(self: Batches, method: str, *request: Any) -> Any:
        reply = handle(self, method, *request)
        if reply and isinstance(reply.payload, dict) and "request_counts" in reply.payload:
            reply.payload = edit(reply.payload)
        return reply

    handle = Batches.handle
    monkeypatch.setattr(Batches, "handle", sent)


def edited(edit: Callable[[dict[str, Any]], list[Any]]) -> Callable[[int, bytes], bytes]:
    """Return downloads in which `edit` replaces each line by several."""

    def sent(number: int, content: bytes) -> bytes:
        lines = [edit(json.loads(raw)) for raw in content.splitlines()]
        return "".join(f"{json.dumps(line)}\n" for part in lines for line in part).encode()

    return sent


def with_expiry(line: dict[str, Any]) -> list[Any]:
    return [line, line | {"response": None, "error": {"code": "batch_expired", "message": "late"}}]


def with_failure(line: dict[str, Any]) -> list[Any]:
    return [line, line | {"response": {"status_code": 500, "body": {"error": {"message": "x"}}}}]


def with_half_an_emoji(line: dict[str, Any]) -> list[Any]:
    line["response"]["body"]["note"] = "\ud83d"
    return [line]


def among_other_lines(line: dict[str, Any]) -> list[Any]:
    stranger = line | {"custom_id": "00" * 32}
    strange = line | {"response": {"status_code": 2**63}}
    deep = stranger | {"response": {"status_code": 200, "body": json.loads("[" * 300 + "]" * 300)}}
    return [None, [], {"custom_id": 5}, {"custom_id": "zz"}, stranger, strange, deep, line]


@pytest.mark.parametrize(
    "edit", [with_expiry, with_failure, with_half_an_emoji, among_other_lines],
)  # fmt: skip
def test_an_answer_is_read_whatever_is_beside_it(
    edit: Callable[[dict[str, Any]], list[Any]],
) -> None:
    with served(sent=edited(edit)) as server:
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 10
    assert [row["verdict"] for row in read_jsonl(OUT)] == ["no", "yes"] * 5


def cut_once(number: int, content: bytes) -> bytes:
    return content[: len(content) // 2] if number == 1 else content


@pytest.mark.parametrize("words", [(), ("--accept-lost-replies",)], ids=["", "accept"])
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "uncounted"])
@pytest.mark.parametrize("plan", [{"sent": cut_once}, {"late": 3}], ids=["cut", "late"])
def test_replies_that_are_not_there_yet_are_fetched_again(
    monkeypatch: pytest.MonkeyPatch, plan: dict[str, Any], counted: bool, words: tuple[str, ...]
) -> None:
    if not counted:
        with_batches(monkeypatch, lambda batch: batch | {"request_counts": None})
    with served(**plan) as server:
        done = relabel(server, *words)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 10
    assert len(read_jsonl(OUT)) == 10


def test_refused_questions_do_not_stand_for_lost_replies() -> None:
    def cut_answers(number: int, content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        answers = b'"status_code": 200' in lines[0]
        return b"".join(lines[:-2]) if answers and number <= 2 else content

    with served(error_every=5, sent=cut_answers) as server:
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 8


def test_a_batch_with_a_line_for_each_question_lacks_none_whatever_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def processed(batch: dict[str, Any]) -> dict[str, Any]:
        counts = batch["request_counts"]
        done = counts["total"] if batch["status"] == "completed" else counts["completed"]
        return batch | {"request_counts": counts | {"completed": done}}

    with_batches(monkeypatch, processed)
    with served(error_every=5) as server:
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert sum("/content" in call.path for call in server.calls) == 2


def test_a_full_disk_stops_the_run_at_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def store(*_words: Any) -> None:
        stored.append(1)
        raise StorageError("no space left")

    stored: list[int] = []
    monkeypatch.setattr(runner, "MAX_REQUESTS", 2)
    monkeypatch.setattr(BatchStore, "store_replies", store)
    with served() as server:
        done = relabel(server)
        assert done.returncode == 3, done.stderr
    assert len(stored) == 1


def test_a_lost_error_file_does_not_matter_where_each_question_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_batches(monkeypatch, lambda batch: batch | {"error_file_id": "file-gone"})
    with served() as server:
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 10


def test_a_refused_result_file_is_named_and_keeps_no_other_from_being_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "MAX_REQUESTS", 2)
    lost = {"output_file_id": "file-1"}  # not the batch's own
    with_batches(monkeypatch, lambda batch: batch | (lost if batch["id"] == "batch_2" else {}))
    with served((Fault("400", path="/files/file-1/content"),)) as server:
        done = relabel(server)
        assert done.returncode == 5, done.stderr
        assert "deepseek reports batch batch_2" in done.stderr
        assert "have 0 (status 400" in done.stderr
        done = relabel(server, "--accept-lost-replies")
        assert done.returncode == 0, done.stderr
        assert payments(server) == [2] * 2 + [1] * 8


@pytest.mark.parametrize("status", ["404", "400"])
def test_a_lost_batch_keeps_no_other_from_being_fetched(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MAX_REQUESTS", 2)
    with served((Fault(status, path="/batches/batch_2"),)) as server:
        done = relabel(server)
        assert done.returncode == 5, done.stderr
        assert "deepseek does not know batch batch_2" in done.stderr
        assert ("status 400" in done.stderr) == (status == "400")
        assert sum("/content" in call.path for call in server.calls) == 4
        done = relabel(server, "--accept-lost-replies")
        assert done.returncode == 0, done.stderr
        assert payments(server) == [2] * 2 + [1] * 8


def test_batches_beyond_the_queue_of_the_provider_are_sent_until_all_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "MAX_REQUESTS", 2)
    with served(at_a_time=1) as server:
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 10
    assert len(read_jsonl(OUT)) == 10


def test_questions_whose_paid_replies_are_given_up_are_sent_three_times_at_most() -> None:
    def one(_number: int, content: bytes) -> bytes:
        return content.splitlines(keepends=True)[0]

    with served(sent=one) as server:
        done = relabel(server, "--accept-lost-replies")
        assert done.returncode == 5, done.stderr
        assert payments(server) == [3] * 8 + [2, 1]


def test_a_row_whose_reply_is_gone_when_rows_are_written_is_in_no_batch_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange = runner.BatchRunner.exchange

    async def exchange_and_lose(self: runner.BatchRunner, *given: Any) -> bool:
        more = await exchange(self, *given)
        if not more:  # the next pass writes the rows
            with closing(sqlite3.connect(".prism/ledger.sqlite")) as ledger, ledger:
                ledger.execute("DELETE FROM replies WHERE key = (SELECT min(key) FROM replies)")
        return more

    with served() as server:
        with monkeypatch.context() as patch:
            patch.setattr(runner.BatchRunner, "exchange", exchange_and_lose)
            done = relabel(server, "--json")
        assert done.returncode == 5, done.stderr
        reason = "in no batch yet; the same command with --batch sends it"
        assert json.loads(done.stdout)["pending_reasons"] == {reason: 1}
        assert reason in done.stderr
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [2] + [1] * 9


def test_a_batch_that_was_cancelled_there_is_sent_again_by_the_next_command_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = {"total": 10, "completed": 0, "failed": 0}
    cancelled = {"status": "cancelled", "output_file_id": None, "request_counts": counts}
    with_batches(monkeypatch, lambda batch: batch | (cancelled if batch["id"] == "batch_1" else {}))
    with served() as server:
        done = relabel(server)
        assert done.returncode == 5, done.stderr
        assert "batch_1 was cancelled" in done.stderr
        assert "go on there" not in done.stderr
        assert payments(server) == [1] * 10
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [2] * 10


def test_a_wrong_key_at_the_first_upload_is_not_said_to_leave_batches() -> None:
    with served((Fault("401", path="/files"),)) as server:
        done = relabel(server)
    assert done.returncode == 5, done.stderr
    assert "go on there" not in done.stderr


def half(number: int, content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:5])


LOST: dict[str, tuple[tuple[Fault, ...], dict[str, Any]]] = {
    "cut": ((), {"sent": half}),
    "gone": ((Fault("404", path="/content"),), {}),
}


@pytest.mark.parametrize("name", LOST)
def test_paid_replies_that_cannot_be_fetched_are_given_up_only_on_request(name: str) -> None:
    faults, plan = LOST[name]
    with served(faults, **plan) as server:
        done = relabel(server)
        assert done.returncode == 5, done.stderr
        assert "--accept-lost-replies" in done.stderr
        assert payments(server) == [1] * 10
        (batch,) = json.loads(prism("status", OUT, "--json").stdout)["batches"]
        assert "fetched again later" in batch["words"]
        if name == "cut":
            done = relabel(server, "--accept-lost-replies", "--max-cost", "9")
            assert payments(server) == [2] * 5 + [1] * 5
        else:
            server.set_faults()
            done = relabel(server)
            assert payments(server) == [1] * 10
        assert done.returncode == 0, done.stderr


def test_a_batch_is_recognised_by_its_file_where_the_metadata_is_dropped() -> None:
    faults = (Fault("reset_after_headers", path="/v1/batches", calls=(1,)),)
    with served(faults, keeps_metadata=False) as server:
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 10


def test_a_killed_submission_is_recognised_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        pass

    def killed(point: str) -> None:
        if point == "batch-created":
            raise KilledError

    with served(keeps_metadata=False) as server:
        with monkeypatch.context() as patch:
            patch.setattr(client, "crash_point", killed)
            with pytest.raises(KilledError):
                relabel(server)
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 10


def test_a_submission_that_cannot_be_sought_is_given_up_only_on_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class KilledError(BaseException):
        pass

    async def killed(*_words: Any) -> str:
        raise KilledError

    def same_page(*_words: Any) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "batch_0"}], "has_more": True}

    monkeypatch.setattr(client, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(Batches, "_page", same_page)
    with served() as server:
        with monkeypatch.context() as patch:
            patch.setattr(BatchApi, "create", killed)
            with pytest.raises(KilledError):
                relabel(server)
        done = relabel(server)
        assert done.returncode == 5, done.stderr
        assert "--accept-lost-replies" in done.stderr
        assert payments(server) == []
        done = relabel(server, "--accept-lost-replies")
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 10


@pytest.mark.parametrize("counts", [None, 5, {"total": "10", "completed": "3", "failed": None}])
def test_malformed_counts_and_errors_of_a_batch_are_ignored(
    monkeypatch: pytest.MonkeyPatch, counts: Any
) -> None:
    with_batches(
        monkeypatch, lambda batch: batch | {"request_counts": counts, "errors": {"data": 5}}
    )
    with served() as server:
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 10


def test_a_run_of_single_calls_leaves_alone_what_another_sends_in_a_batch_meanwhile() -> None:
    words = ["--judge", "deepseek/deepseek-chat", "--audit", "0", "--provider-file"]
    codes: list[int] = []

    def answer(model: str, text: str) -> str:
        if not codes:  # the first call: another run begins and sends the other questions
            codes.append(0)
            command = [sys.executable, "-m", "prism_cli", "relabel", "rest.jsonl", *words]
            root = str(Path(__file__).parent.parent.parent)
            more = ["batch.toml", "--batch", "--max-seconds", "3"]
            env = os.environ | {"PYTHONPATH": root}
            codes[0] = subprocess.run([*command, *more], env=env, timeout=60).returncode
        return truth(model, text)

    write_jsonl(Path("data.jsonl"), rows(10))
    write_jsonl(Path("rest.jsonl"), rows(10)[1:])
    settings = Settings(batch=BatchPlan(polls=99))
    with (
        FaultServer(answers=Answers(chat=truth), settings=settings) as other,
        FaultServer(answers=Answers(chat=answer)) as server,
    ):
        providers(other.base_url, batches="true").rename("batch.toml")
        file = providers(server.base_url, batches="true")
        done = prism("relabel", "data.jsonl", *words, file, "--concurrency", "1")
        assert (codes, done.returncode) == ([7], 5), done.stderr
        assert "--batch waits for it" in done.stderr
        assert payments(other) == [1] * 9
        assert len([call for call in server.calls if call.kind == "chat"]) == 1


def test_a_batch_waits_for_the_calls_of_another_run() -> None:
    write_jsonl(Path("data.jsonl"), rows(10))
    with served() as server:
        file = providers(server.base_url, batches="true")
        words = ("relabel", "data.jsonl", "--judge", "deepseek/deepseek-chat", "--audit", "0")
        root = str(Path(__file__).parent.parent.parent)
        command = [sys.executable, "-m", "prism_cli", *words, "--provider-file", str(file)]
        command += ["--batch", "--max-seconds", "1"]
        Path(".prism").mkdir(exist_ok=True)
        with Path(".prism/ledger.claims").open("wb") as claims:
            fcntl.lockf(claims, fcntl.LOCK_EX)  # as if it called every question
            run = subprocess.run(command, env=os.environ | {"PYTHONPATH": root}, timeout=60)
        assert (run.returncode, server.calls) == (7, [])
        assert relabel(server).returncode == 0
        assert payments(server) == [1] * 10


def test_a_batch_leaves_out_what_another_run_asks_before_it_sees_the_submission(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add = BatchStore.add
    calls: list[bytes] = []

    def add_late(store: BatchStore, *given: Any) -> None:
        keys = given[4]
        if not calls:  # another run, between the look for its calls and the submission
            calls.append(keys[0])
            other = Ledger(store.path.with_name("ledger.sqlite"))
            backend = SimpleNamespace(spec="deepseek/deepseek-chat", fingerprint="")
            asked = Request(backend, keys[0], None)  # type: ignore[arg-type]
            other.commit("relabel", "other", [(asked, Reply({"vote": "no"}))])
            other.close()
        add(store, *given)

    monkeypatch.setattr(BatchStore, "add", add_late)
    with served() as server:
        done = relabel(server)
        assert done.returncode == 0, done.stderr
        assert payments(server) == [1] * 9
    assert len(read_jsonl(OUT)) == 10


def without_choices(line: dict[str, Any]) -> list[Any]:
    line["response"]["body"]["choices"] = []
    return [line]


def test_billed_replies_that_cannot_be_used_count_against_the_budget() -> None:
    with served(sent=edited(without_choices)) as server:
        usd = json.loads(relabel(server, "--dry-run", "--json").stdout)["usd"]
        done = relabel(server, "--max-cost", str(1.5 * usd))
        assert done.returncode == 7, done.stderr
        assert payments(server) == [2] * 5 + [1] * 5
    ledger = Ledger(Path(".prism/ledger.sqlite"))
    assert ledger._db.execute("SELECT sum(lost_calls) FROM spent").fetchone() == (15,)
    ledger.close()
