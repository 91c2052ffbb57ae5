"""The board of a run: what several processes know of it, at any moment."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prism_cli.engine import run_board
from prism_cli.engine.heartbeat import RowRate
from prism_cli.engine.jobs import Job
from prism_cli.engine.run_board import RunBoard, read_board
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.spread import Join
from prism_cli.engine.status import RunStatus, find_outputs, read_statuses
from prism_cli.errors import OtherCommandError
from prism_cli.rows.row import Row
from tests.factories import make_pairs, write_jsonl
from tests.fakes import EchoStage

SHARDS = 6


@pytest.fixture(autouse=True)
def each_save_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_board, "_EVERY_SECONDS", 0.0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def children() -> Iterator[list[int]]:
    """Processes that are killed after the test."""
    started: list[int] = []
    yield started
    for child in started:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def forked(children: list[int], work: Callable[[], object]) -> int:
    """Do `work` in another process, which then waits for its end; return its id."""
    if child := os.fork():
        children.append(child)
        return child
    try:
        work()
        time.sleep(60)
    finally:
        os._exit(1)


def killed(children: list[int], child: int) -> None:
    children.remove(child)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def board_of(out: Path, *names: str, engine: str = "join") -> RunBoard:
    jobs = [Job([], {"": out / name}, out / name) for name in names]
    return RunBoard("echo", engine, jobs)


def read(out: Path) -> dict[str, Any]:
    board = read_board(out)
    assert board is not None
    return board


def test_processes_that_share_a_run_keep_what_the_others_know(
    out: Path, children: list[int]
) -> None:
    def other() -> None:
        board = board_of(out, "0", "1", "9")
        board.begin()
        board.given_up["0"] = "killed"
        board.workers["worker 1"] = {"host": "node1", "pid": 7, "shard": "9"}
        board.save(now=True)

    board = board_of(out, "0", "1")
    board.begin()
    child = forked(children, other)
    until(lambda: read(out)["given_up"])
    board.refused["1"] = "changed"
    board.save()
    content = read(out)
    assert content["given_up"] == {"0": "killed"}
    assert content["refused"] == {"1": "changed"}
    assert sorted(content["shards"]) == ["0", "1", "9"]
    assert {process["pid"] for process in content["processes"].values()} == {os.getpid(), child}
    assert content["workers"]["worker 1"]["shard"] == "9"
    killed(children, child)
    board.save()
    content = read(out)
    assert [process["pid"] for process in content["processes"].values()] == [os.getpid()]
    assert content["workers"] == {}
    assert content["given_up"] == {"0": "killed"}
    board.save(ended=True)
    assert read(out)["processes"] == {}
    assert read(out)["refused"] == {"1": "changed"}


def test_a_command_that_makes_other_outputs_waits_for_the_end_of_the_first(
    out: Path, children: list[int]
) -> None:
    def other() -> None:
        board = board_of(out, "0", "1")
        board.begin()
        board.save(now=True)

    child = forked(children, other)
    until(lambda: (read_board(out) or {}).get("processes"))
    jobs = [Job([], {"": out / name}, out / name) for name in "12"]
    with pytest.raises(OtherCommandError, match=f"process {child} of"):
        RunBoard("convert", "join", jobs, "another").begin()
    assert [process["pid"] for process in read(out)["processes"].values()] == [child]
    board_of(out, "0", "1").begin()
    killed(children, child)
    RunBoard("convert", "join", jobs, "another").begin()


def test_a_process_that_begins_alone_forgets_earlier_runs(out: Path) -> None:
    earlier = board_of(out, "0", "1")
    earlier.refused["0"] = "changed"
    earlier.begin()
    earlier.save(ended=True)
    part = out / f".{run_board.BOARD_NAME}.0123456789ab.part"
    part.touch()  # of a killed save
    board_of(out, "1", "2").begin()
    assert (read(out)["refused"], read(out)["shards"]) == ({}, ["1", "2"])
    assert not part.exists()


def test_a_stopped_save_of_another_process_is_not_waited_for(
    out: Path, children: list[int]
) -> None:
    def holds() -> None:
        with run_board._folder_lock(out):
            (out / "held").touch()
            time.sleep(60)

    out.mkdir()
    forked(children, holds)
    until((out / "held").exists)
    started = time.monotonic()
    board_of(out, "0", "1").begin()
    assert time.monotonic() - started < 5
    assert read_board(out) is None


class Waiting(EchoStage):
    """Whose third row of a shard waits for the end."""

    def begin_shard(self) -> None:
        super().begin_shard()
        self.rows = 0

    def work(self, row: Row) -> Row:
        self.rows += 1
        if self.rows == 3:
            time.sleep(60)
        return row


def joined(out: Path, stage: EchoStage) -> None:
    options = RunOptions(out, quiet=True, shared=True, shard_attempts=1)
    run_rows(stage, [str(out.with_name("in"))], options, Join())


def statuses(out: Path) -> list[RunStatus]:
    return list(read_statuses(find_outputs([out])))


def states(out: Path) -> Counter[str]:
    return Counter(status.state for status in statuses(out))


def test_status_tells_at_any_moment_what_the_processes_of_a_join_do(
    out: Path, children: list[int]
) -> None:
    out.with_name("in").mkdir()
    for number in range(SHARDS):
        write_jsonl(out.with_name("in") / f"{number}.jsonl", make_pairs(5))
    first, second = (forked(children, lambda: joined(out, Waiting())) for _ in range(2))

    def running() -> list[RunStatus]:
        return [status for status in statuses(out) if status.state == "running"]

    until(lambda: out.exists() and len(running()) == 2)
    assert {status.process for status in running()} == {first, second}
    assert states(out) == {"running": 2, "never started": SHARDS - 2}
    killed(children, first)
    assert states(out) == {"running": 1, "stopped": 1, "never started": SHARDS - 2}
    third = forked(children, lambda: joined(out, EchoStage()))
    expected = {"finished": SHARDS - 2, "given up": 1, "running": 1}
    until(lambda: states(out) == expected)  # the third waits for the second
    killed(children, third)
    assert states(out) == expected
    assert [status.process for status in running()] == [second]


def test_what_a_run_refuses_meanwhile_is_on_its_board(out: Path) -> None:
    given = out.with_name("in")
    given.mkdir()
    for number in range(3):
        write_jsonl(given / f"{number}.jsonl", make_pairs(2))

    class Losing(EchoStage):
        """Whose second input vanishes; its third shard reads the board."""

        seen: list[dict[str, Any]]

        def begin_shard(self) -> None:
            super().begin_shard()
            (given / "1.jsonl").unlink(missing_ok=True)
            self.seen = [*getattr(self, "seen", []), read(out)]

    stage = Losing()
    run_rows(stage, [str(given)], RunOptions(out, quiet=True))
    assert [sorted(board["refused"]) for board in stage.seen] == [[], ["1.jsonl"]]


def test_the_rate_is_that_of_the_process_over_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 10.0, 20.0, 30.0, 40.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    rate = RowRate()
    rate.begin()
    assert [rate.of(0), rate.of(20)] == [0.0, 2.0]
    rate.begin()
    assert [rate.of(0), rate.of(40)] == [2.0, 3.0]
    assert [rate.of(10), rate.of(30)] == [0.0, 2.0]  # 30 of the 40 were cached


def test_the_rate_of_rows_that_end_together_is_that_of_a_longer_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(float(second) for second in range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    rate = RowRate()
    steady = [rate.of(2 * second) for second in range(100)]
    assert steady[1:] == [2.0] * 99
    still = [rate.of(198) for _ in range(20)]  # the last 13 records do not move
    assert still[-1] == 198 / 119
    assert [rate.of(198) for _ in range(200)][-1] == 0.0
