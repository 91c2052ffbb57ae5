"""Batch mode from the command line: the rows of live mode, each question in one batch, after any
interruption."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from prism_cli.engine.batch import client, runner
from prism_cli.errors import StorageError
from prism_cli.shards import lock
from tests.door import prism
from tests.end_to_end.test_paid_judges import KEYS, asked, providers, rows, truth
from tests.factories import read_jsonl, write_jsonl
from tests.servers.batches import BatchPlan
from tests.servers.calls import Call, read_log
from tests.servers.fault_server import FaultServer
from tests.servers.faults import Fault
from tests.servers.replies import Answers
from tests.servers.script import Settings, launched

ONE = ("--judge", "deepseek/deepseek-chat", "--audit", "0")
QUICK = BatchPlan(polls=1)
DATA = Path("data.jsonl")
OUT = Path("data.relabel.jsonl")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.1)


def lines(calls: list[Call]) -> list[Call]:
    """Return the lines of batch files that the server processed."""
    return [call for call in calls if call.kind == "batch_line"]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "prism_cli", "relabel", "data.jsonl", "--batch", *words]


def environment(crash: str = "") -> dict[str, str]:
    root = str(Path(__file__).parent.parent.parent)
    return os.environ | {"PYTHONPATH": root, "PRISM_CRASH_AT": crash}


def mostly_right(model: str, text: str) -> str:
    number = int(text.rsplit("Item ", 1)[1].split(" ")[0])
    wrong = random.Random(f"{model} {number}").random() < 0.05
    return "yes" if (number % 3 == 0) != wrong else "no"


@pytest.mark.parametrize(
    ("count", "chat", "more"),
    [(40, truth, ()), (300, mostly_right, ("--stop", "posterior"))],
    ids=["settled", "posterior"],
)
def test_a_panel_in_batch_mode_gives_the_rows_of_live_mode(
    count: int, chat: Callable[[str, str], str], more: tuple[str, ...]
) -> None:
    write_jsonl(DATA, rows(count))
    with FaultServer(answers=Answers(chat=chat)) as server:
        words = ("relabel", DATA, *more, "--provider-file", providers(server.base_url))
        live = prism(*words, "-o", "live.jsonl", "--json")
        assert live.returncode == 0, live.stderr
        live_calls = list(server.calls)
    with FaultServer(answers=Answers(chat=chat), settings=Settings(batch=QUICK)) as server:
        file = providers(server.base_url, batches="true")
        words = ("relabel", DATA, *more, "--provider-file", file)
        done = prism(*words, "--batch", "--fresh", "--json")
        assert done.returncode == 0, done.stderr
        worked = lines(server.calls)
        assert not [call for call in server.calls if call.kind == "chat"]
    assert OUT.read_bytes() == Path("live.jsonl").read_bytes()
    assert max(asked(worked).values()) == 1
    assert Counter(call.model for call in worked) == Counter(call.model for call in live_calls)
    assert Counter(call.messages for call in worked) == Counter(c.messages for c in live_calls)
    summary, live_told = json.loads(done.stdout), json.loads(live.stdout)
    assert summary["figures"] == live_told["figures"]
    assert summary["usage"]["usd"] == pytest.approx(live_told["usage"]["usd"] / 2)
    assert summary["usage"]["asked"] == len(worked)
    assert summary["usage"]["from_ledger"] == 0


@pytest.mark.parametrize("days", [-2, 700], ids=["back", "ahead"])
def test_a_new_batch_is_awaited_with_any_clock(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    write_jsonl(DATA, rows(10))
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=QUICK)) as server:
        file = providers(server.base_url, batches="true")
        words = ("relabel", DATA, *ONE, "--provider-file", file, "--batch", "--fresh")
        monkeypatch.setattr(client, "FIRST_PAUSE", 60.0)
        assert prism(*words, "--max-seconds", "1").returncode == 7
        true = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: true() + days * 86_400 * 10**9)
        monkeypatch.setattr(client, "FIRST_PAUSE", 0.05)
        done = prism(*words)
        assert done.returncode == 0, done.stderr
        assert set(asked(lines(server.calls)).values()) == {1}
    assert len(read_jsonl(OUT)) == 10


@pytest.mark.parametrize("days", [0, 700], ids=["right", "ahead"])
def test_a_batch_unknown_to_its_provider_is_abandoned_only_on_request(
    monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    write_jsonl(DATA, rows(10))
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=QUICK)) as server:
        file = providers(server.base_url, batches="true")
        monkeypatch.setattr(client, "FIRST_PAUSE", 60.0)
        words = ("relabel", DATA, *ONE, "--provider-file", file, "--batch")
        assert prism(*words, "--max-seconds", "1").returncode == 7
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.05)
    true = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: true() + days * 86_400 * 10**9)
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=QUICK)) as server:
        providers(server.base_url, batches="true")
        done = prism(*words)
        assert done.returncode == 5, done.stderr
        assert "does not know batch batch_1" in done.stderr
        assert not lines(server.calls)
        done = prism(*words, "--accept-lost-replies")
        assert done.returncode == 0, done.stderr
        assert set(asked(lines(server.calls)).values()) == {1}
    assert len(read_jsonl(OUT)) == 10


BOOK = Path(".prism/batches.sqlite")


def damage_book() -> None:
    content = bytearray(BOOK.read_bytes())
    content[4096:8192] = bytes(4096)
    BOOK.write_bytes(content)


LOSSES = {"missing": BOOK.unlink, "empty": lambda: BOOK.write_bytes(b""), "damaged": damage_book}


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_its_record_is_not_resubmitted_without_request(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_jsonl(DATA, rows(10))
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=QUICK)) as server:
        file = providers(server.base_url, batches="true")
        words = ("relabel", DATA, *ONE, "--provider-file", file)
        monkeypatch.setattr(client, "FIRST_PAUSE", 60.0)
        assert prism(*words, "--batch", "--max-seconds", "1").returncode == 7
        monkeypatch.setattr(client, "FIRST_PAUSE", 0.05)
        LOSSES[name]()
        before = len(server.calls)
        for more in (("--batch",), ()):
            done = prism(*words, *more)
            assert done.returncode == 3, done.stderr
            assert "--accept-lost-replies" in done.stderr
            assert len(server.calls) == before
        if name == "damaged":
            BOOK.rename("damaged.sqlite")
        done = prism(*words, "--batch", "--accept-lost-replies")
        assert done.returncode == 0, done.stderr
        assert prism(*words, "--batch", "--overwrite").returncode == 0
    assert len(read_jsonl(OUT)) == 10


def test_a_batch_file_has_a_limited_number_of_questions_of_one_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "MAX_REQUESTS", 4)
    monkeypatch.setattr(runner, "_LOOKUP_LINES", 3)
    write_jsonl(DATA, [*rows(10), *rows(10)])
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=QUICK)) as server:
        file = providers(server.base_url, batches="true")
        done = prism("relabel", DATA, *ONE, "--provider-file", file, "--batch")
        assert done.returncode == 0, done.stderr
        assert [f"{n} questions sent as" in done.stderr for n in (4, 2)] == [True, True]
        assert done.stderr.count("questions sent as") == 3
        assert set(asked(lines(server.calls)).values()) == {1}
    assert len(read_jsonl(OUT)) == 20


def test_lines_with_errors_are_refused_or_retried() -> None:
    write_jsonl(DATA, rows(12))
    plan = BatchPlan(polls=2, error_contains="Item 3 is")
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=plan)) as server:
        file = providers(server.base_url, batches="true")
        done = prism("relabel", DATA, *ONE, "--provider-file", file, "--batch")
        assert done.returncode == 0, done.stderr
        assert len(lines(server.calls)) == 11
    output = read_jsonl(OUT)
    assert output[3]["votes"] == {}
    assert [row["verdict"] for row in output if row["votes"]] == [
        "yes" if number & 1 else "no" for number in range(12) if number != 3
    ]


def test_requests_of_an_expired_batch_go_into_the_next() -> None:
    write_jsonl(DATA, rows(10))
    plan = BatchPlan(polls=1, expires_after=5)
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=plan)) as server:
        file = providers(server.base_url, batches="true")
        done = prism("relabel", DATA, *ONE, "--provider-file", file, "--batch")
        assert done.returncode == 0, done.stderr
        assert len(asked(lines(server.calls))) == 10
        assert max(asked(lines(server.calls)).values()) == 1
        assert done.stderr.count("questions sent as") == 2


def test_rows_without_batch_replies_stay_pending_and_resume() -> None:
    write_jsonl(DATA, rows(4))
    plan = BatchPlan(polls=1, expires_after=0)
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=plan)) as server:
        words = (
            "relabel",
            DATA,
            *ONE,
            "--provider-file",
            providers(server.base_url, batches="true"),
        )
        done = prism(*words, "--batch")
        assert done.returncode == 5
        assert done.stderr.count("questions sent as") == runner.ROUNDS
        assert "4 rows" in done.stderr
        assert "expired" in done.stderr
        assert not OUT.exists()


def test_an_unusable_answer_is_retried_in_a_second_batch() -> None:
    write_jsonl(DATA, rows(6))
    reasons: Counter[str] = Counter()

    def hesitant(model: str, text: str) -> str:
        reasons[text] += 1
        return "Perhaps" if "Item 2 is" in text and reasons[text] == 1 else truth(model, text)

    with FaultServer(answers=Answers(chat=hesitant), settings=Settings(batch=QUICK)) as server:
        file = providers(server.base_url, batches="true")
        done = prism("relabel", DATA, *ONE, "--provider-file", file, "--batch")
        assert done.returncode == 0, done.stderr
        assert "1 question sent as batch_2" in done.stderr
        assert len(lines(server.calls)) == 7
    assert read_jsonl(OUT)[2]["verdict"] == "no"


@pytest.mark.parametrize(
    "point",
    ["batch-intent", "batch-uploaded", "batch-created", "batch-fetched", "before-commit",
     "after-commit"],
)  # fmt: skip
def test_after_a_kill_at_any_step_each_question_is_in_one_batch(tmp_path: Path, point: str) -> None:
    write_jsonl(DATA, rows(20))
    log = tmp_path / "calls.jsonl"
    with launched(log, "[batch]\npolls = 1\n") as base_url:
        words = [*ONE, "--provider-file", str(providers(base_url, batches="true"))]
        killed = subprocess.run(command(*words), env=environment(point), timeout=60)
        assert killed.returncode == -signal.SIGKILL
        resumed = subprocess.run(command(*words), env=environment(), timeout=60)
        assert resumed.returncode == 0
        counted = asked(lines(read_log(log)))
    assert set(counted.values()) == {1}
    assert len(counted) == len(read_jsonl(OUT)) == 20


def test_a_run_stopped_while_waiting_exits_with_143_and_resumes(tmp_path: Path) -> None:
    write_jsonl(DATA, rows(20))
    log = tmp_path / "calls.jsonl"
    with launched(log, "[batch]\npolls = 6\n") as base_url:
        words = [*ONE, "--provider-file", str(providers(base_url, batches="true"))]
        process = subprocess.Popen(command(*words), env=environment(), stderr=subprocess.PIPE)
        give_up = time.monotonic() + 30
        while not lines(read_log(log)):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, messages = process.communicate(timeout=30)
        assert (process.returncode, b"Traceback" in messages) == (143, False)
        assert time.monotonic() - began < 3
        limited = prism("relabel", DATA, *words, "--batch", "--max-seconds", "0.1")
        assert limited.returncode == 7
        (batch,) = json.loads(prism("status", OUT, "--json").stdout)["batches"]
        assert (batch["batch"], batch["questions"]) == ("batch_1", 20)
        assert (
            "batch_1: 20 questions to deepseek/deepseek-chat, sent 20"
            in prism("status", OUT).stdout
        )
        dry = json.loads(prism("relabel", DATA, *words, "--dry-run", "--json").stdout)
        assert [(model["paid before"], model["calls"]) for model in dry["models"]] == [(20, 0)]
        done = prism("relabel", DATA, *words, "--batch")
        assert done.returncode == 0, done.stderr
        assert json.loads(prism("status", OUT, "--json").stdout)["batches"] == []
        counted = asked(lines(read_log(log)))
    assert (len(counted), set(counted.values())) == (20, {1})


def test_a_lost_reply_to_a_batch_creation_creates_no_second_batch() -> None:
    write_jsonl(DATA, rows(5))
    faults = [Fault("reset_after_headers", path="/v1/batches", calls=(1,))]
    with FaultServer(faults, Answers(chat=truth), Settings(batch=QUICK)) as server:
        file = providers(server.base_url, batches="true")
        done = prism("relabel", DATA, *ONE, "--provider-file", file, "--batch")
        assert done.returncode == 0, done.stderr
        assert "sent as batch_1" in done.stderr
        assert len(lines(server.calls)) == 5


def test_a_run_stops_at_its_budget() -> None:
    write_jsonl(DATA, rows(30))
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=QUICK)) as server:
        words = (
            "relabel",
            DATA,
            *ONE,
            "--provider-file",
            providers(server.base_url, batches="true"),
        )
        forecast = json.loads(prism(*words, "--batch", "--dry-run", "--json").stdout)
        estimate = json.loads(prism(*words, "--dry-run", "--json").stdout)
        assert forecast["usd"] == pytest.approx(estimate["usd"] / 2, abs=1e-4)
        half = prism(*words, "--batch", "--max-cost", forecast["usd"] / 2)
        assert half.returncode == 7, half.stderr
        assert 5 < len(lines(server.calls)) < 25
        assert prism(*words, "--batch").returncode == 0
        counted = asked(lines(server.calls))
    assert (len(counted), set(counted.values())) == (30, {1})


def test_two_outputs_with_common_questions_send_each_once(tmp_path: Path) -> None:
    write_jsonl(DATA, rows(20))
    log = tmp_path / "calls.jsonl"
    with launched(log, "[batch]\npolls = 2\n") as base_url:
        words = [*ONE, "--provider-file", str(providers(base_url, batches="true"))]
        both = [
            subprocess.Popen(command(*words, "-o", name), env=environment())
            for name in ("a.jsonl", "b.jsonl")
        ]
        assert [process.wait(timeout=60) for process in both] == [0, 0]
        counted = asked(lines(read_log(log)))
    assert (len(counted), set(counted.values())) == (20, {1})
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()


def test_a_judge_without_batch_support_is_called_live_and_no_key_is_stored() -> None:
    write_jsonl(DATA, rows(6))
    judges = (*ONE, "--judge", "bailian/qwen3.5-397b-a17b")
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=QUICK)) as server:
        done = prism(
            "relabel", DATA, *judges, "--provider-file", providers(server.base_url), "--batch"
        )
        assert done.returncode == 0, done.stderr
        assert "deepseek/deepseek-chat: its provider takes no batches" in done.stderr
        kinds = Counter((call.kind, call.model) for call in server.calls)
        assert kinds[("chat", "deepseek-chat")] == 6
        assert kinds[("batch_line", "qwen3.5-397b-a17b")] == 6
    files = [path for path in Path(".").rglob("*") if path.is_file()]
    assert any(path.name == "batches.sqlite" for path in files)
    assert not [
        path for path in files for key in KEYS.values() if key.encode() in path.read_bytes()
    ]
    (book,) = [path for path in files if path.name == "batches.sqlite"]
    assert book.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("point", ["batch-created", "batch-fetched", "before-commit"])
def test_a_live_run_repeats_no_request_of_a_batch(tmp_path: Path, point: str) -> None:
    """Kill before the batch's name is stored, before its replies are, and before the ledger."""
    write_jsonl(DATA, rows(20))
    log = tmp_path / "calls.jsonl"
    with launched(log, "[batch]\npolls = 1\n") as base_url:
        words = [*ONE, "--provider-file", str(providers(base_url, batches="true"))]
        killed = subprocess.run(command(*words), env=environment(point), timeout=60)
        assert killed.returncode == -signal.SIGKILL
        write_jsonl(DATA, rows(25))
        called = prism("relabel", DATA, *words)
        if point == "before-commit":  # the replies are here
            assert called.returncode == 0, called.stderr
        else:
            assert called.returncode == 5
            assert "--batch waits for it" in called.stderr
            done = prism("relabel", DATA, *words, "--batch")
            assert done.returncode == 0, done.stderr
        kinds = Counter(call.kind for call in read_log(log))
        assert (kinds["batch_line"], kinds["chat"]) == (20, 5)
    assert len(read_jsonl(OUT)) == 25


def test_rows_to_standard_output_are_refused() -> None:
    write_jsonl(DATA, rows(1))
    with FaultServer() as server:
        words = ("-o", "-", "--provider-file", providers(server.base_url), "--batch")
        done = prism("relabel", DATA, *ONE, *words)
        assert (done.returncode, server.calls) == (2, [])
    assert "name a file with -o" in done.stderr


def test_more_shards_than_open_files_are_batched_if_the_process_may_have_them() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    Path("in").mkdir()
    for number, row in enumerate(rows(40)):
        write_jsonl(Path(f"in/{number:02}.jsonl"), [row])
    with FaultServer(answers=Answers(chat=truth), settings=Settings(batch=QUICK)) as server:
        file = providers(server.base_url, batches="true")
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 30, hard))
        try:
            done = prism("relabel", "in", *ONE, "--provider-file", file, "--batch", "-o", "out/")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert done.returncode == 0, done.stderr
    assert len(list(Path("out").glob("*.jsonl"))) == 40


def test_too_few_open_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(lock, "open_private", full)
    with pytest.raises(StorageError, match="ulimit -n"), lock.output_lock(OUT):
        pass
