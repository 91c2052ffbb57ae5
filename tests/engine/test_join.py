"""Several processes that share a folder of shards: each shard once, whoever is killed."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.engine import spread
from prism_cli.engine.heartbeat import heartbeat_path
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.spread import Join
from prism_cli.engine.stage import RowStage
from prism_cli.engine.status import find_outputs, read_statuses
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import LimitReachedError
from prism_cli.rows.row import Row
from prism_cli.shards import lock
from prism_cli.shards.lock import output_lock
from prism_cli.shards.timestamps import now_ms
from tests.door import prism
from tests.factories import make_pair, make_pairs, write_jsonl
from tests.fakes import EchoStage

SHARDS = 5


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "_LOOK_SECONDS", (0.02, 0.1))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(SHARDS):
        write_jsonl(folder / f"{number}.jsonl", pairs(6, number * 6))
    return folder


def pairs(count: int, first: int) -> list[Row]:
    return [make_pair(number, verdict="yes") for number in range(first, first + count)]


def joined(shards: Path, stage: RowStage | None = None, **more: Any) -> RunSummary:
    out = shards.with_name("out")
    options = RunOptions(out, quiet=True, shared=True, **{"shard_attempts": 3, **more})
    return run_rows(stage or EchoStage(), [str(shards)], options, Join())


def single(shards: Path) -> dict[str, bytes]:
    out = shards.with_name("single")
    run_rows(EchoStage(), [str(shards)], RunOptions(out, quiet=True))
    return {path.name: path.read_bytes() for path in out.glob("?.jsonl")}


def outputs(shards: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shards.with_name("out").glob("?.jsonl")}


def test_a_shard_that_another_process_holds_is_waited_for(shards: Path) -> None:
    held = shards.with_name("out") / "2.jsonl"
    held.parent.mkdir()
    release = threading.Event()
    taken = threading.Event()

    def hold() -> None:
        with output_lock(held):
            taken.set()
            release.wait(20)

    other = threading.Thread(target=hold)
    other.start()
    taken.wait(20)
    threading.Timer(0.5, release.set).start()
    summary = joined(shards)
    other.join()
    assert summary.exit_code == 0
    assert outputs(shards) == single(shards)
    assert summary.outputs[-1].endswith("2.jsonl")


def test_the_wait_ends_at_the_time_limit(shards: Path) -> None:
    held = shards.with_name("out") / "2.jsonl"
    with output_lock(held), pytest.raises(LimitReachedError):
        joined(shards, max_seconds=2)
    assert len(outputs(shards)) == SHARDS - 1


def test_what_others_finished_counts_as_finished_before(shards: Path) -> None:
    class Slow(EchoStage):
        """Whose first row waits until another process has worked all other shards."""

        def begin_shard(self) -> None:
            super().begin_shard()
            while len(outputs(shards)) < SHARDS - 1:
                with pytest.raises(LimitReachedError):
                    joined(shards, max_seconds=2)

    mine = joined(shards, Slow())
    assert len(mine.outputs) == 1
    assert len(mine.finished_before) == SHARDS - 1
    assert outputs(shards) == single(shards)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_lock", lambda *_: False)


def heartbeat(out: Path, host: str, pid: int) -> None:
    record = {"pid": pid, "host": host, "updated_ms": now_ms(), "ended": False, "moved": 1.0}
    heartbeat_path(out).write_bytes(orjson.dumps(record))


@pytest.mark.usefixtures("no_locks")
def test_without_locks_the_heartbeat_of_another_machine_claims_a_shard(shards: Path) -> None:
    out = shards.with_name("out") / "2.jsonl"
    out.parent.mkdir()
    heartbeat(out, "elsewhere", 1)
    with pytest.raises(LimitReachedError):
        joined(shards, max_seconds=2)
    assert len(outputs(shards)) == SHARDS - 1
    past = time.time() - 30
    os.utime(heartbeat_path(out), (past, past))
    assert joined(shards).exit_code == 0
    assert outputs(shards) == single(shards)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_dead_process_of_this_machine_claims_nothing(shards: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    out = shards.with_name("out") / "2.jsonl"
    out.parent.mkdir()
    heartbeat(out, os.uname().nodename, gone.pid)
    assert joined(shards).exit_code == 0


@pytest.mark.usefixtures("no_locks")
def test_what_another_process_finishes_while_the_model_loads_is_not_made_again(
    shards: Path,
) -> None:
    class Loading(EchoStage):
        def prepare(self, rows: Iterator[Row]) -> None:
            if not outputs(shards):
                joined(shards)

    summary = joined(shards, Loading())
    assert (summary.exit_code, summary.outputs) == (0, [])
    assert len(summary.finished_before) == SHARDS
    assert outputs(shards) == single(shards)


def test_a_shard_that_kills_its_process_again_and_again_is_left(shards: Path) -> None:
    class Deadly(EchoStage):
        def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
            if b'"q12"' in raw and self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().decode(raw, fields)

        deadly = True

    for _ in range(3):
        if not (child := os.fork()):
            try:
                joined(shards, Deadly())
            finally:
                os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    summary = joined(shards, Deadly())
    assert summary.exit_code == 5
    assert "3 attempts in a row were killed" in str(summary.refused)
    assert outputs(shards) == {k: v for k, v in single(shards).items() if k != "2.jsonl"}
    assert joined(shards, shard_attempts=4).exit_code == 0


def test_processes_share_the_shards_and_one_may_be_killed(tmp_path: Path) -> None:
    shards, rows = tmp_path / "in", 40
    shards.mkdir()
    for number in range(12):
        write_jsonl(shards / f"{number:02}.jsonl", pairs(rows, number * rows))
    command = [sys.executable, "-m", "prism_cli", "convert", str(shards), "--to", "kalm", "-q"]
    expected = tmp_path / "single"
    assert subprocess.run([*command, "-o", str(expected)]).returncode == 0
    out = tmp_path / "out"
    crashing = {**os.environ, "PRISM_CRASH_AT": "before-publish:2"}
    words = [*command, "-o", str(out), "--join"]
    crashed = subprocess.Popen(words, env=crashing)
    for _ in range(6000):
        if out.exists():  # the first has begun, and is not late for its second shard
            break
        time.sleep(0.01)
    others = [subprocess.Popen(words) for _ in range(2)]
    assert crashed.wait(60) == -signal.SIGKILL
    assert [other.wait(60) for other in others] == [0, 0]
    for path in expected.glob("*.jsonl"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    manifests = [orjson.loads(path.read_bytes()) for path in out.glob("*.manifest.json")]
    assert len(manifests) == 12
    assert all(manifest["finished"] for manifest in manifests)
    assert sorted({manifest["attempts"] for manifest in manifests}) == [1, 2]


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_processes_that_are_killed_at_any_time_leave_the_bytes_of_one(
    locks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(EchoStage):
        def work(self, row: Row) -> Any:
            time.sleep(0.025)
            return super().work(row)

    def start() -> int:
        if child := os.fork():
            return child
        code = 1
        try:
            code = joined(folder, Slow(), shard_attempts=1000).exit_code
        finally:
            os._exit(code)

    def ended(child: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(30):
        write_jsonl(folder / f"{number:02}.jsonl", pairs(8, number * 8))
    if not locks:
        monkeypatch.setattr(lock, "_lock", lambda *_: False)
    dice = random.Random(30)
    alive, kills = [start() for _ in range(3)], 0
    for _ in range(10):
        time.sleep(dice.uniform(0.02, 0.15))
        victim = alive.pop(dice.randrange(3))
        os.kill(victim, signal.SIGKILL)
        kills += ended(victim) == -signal.SIGKILL
        alive.append(start())
    assert kills >= 5
    assert [ended(child) for child in alive] == [0, 0, 0]
    out = folder.with_name("out")
    for path in folder.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert not list(out.glob(".*.part"))
    assert [status.state for status in read_statuses(find_outputs([out]))] == ["finished"] * 30


def test_part_files_of_attempts_killed_beside_another_are_removed_at_the_end(
    shards: Path,
) -> None:
    out = shards.with_name("out")
    parts = [out / f".{name}.0123456789ab.part" for name in ("1.jsonl", "2.jsonl", "3.jsonl")]

    class Beside(EchoStage):
        def end_shards(self) -> None:
            for part in parts:
                part.write_bytes(b"killed")
            heartbeat(out / "2.jsonl", "elsewhere", 1)

    joined(shards, Beside())
    assert [part.exists() for part in parts] == [True] * 3
    with output_lock(out / "3.jsonl"):
        joined(shards)
    assert [part.exists() for part in parts] == [False, True, True]
    heartbeat_path(out / "2.jsonl").unlink()
    joined(shards)
    assert not any(part.exists() for part in parts)
    assert outputs(shards) == single(shards)


def test_servers_and_standard_output_are_refused(tmp_path: Path) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(1))
    word = [sys.executable, "-m", "prism_cli", "relabel", str(given), "--join"]
    env = {**os.environ, "DEEPSEEK_API_KEY": "k"}
    out = subprocess.run(
        [*word, "--judge", "deepseek/deepseek-chat"], env=env, capture_output=True, text=True
    )
    assert out.returncode == 2
    assert "--join: deepseek/deepseek-chat is asked over HTTP" in out.stderr
    out = subprocess.run([*word, "--judge", "source", "-o", "-"], capture_output=True, text=True)
    assert out.returncode == 2
    assert "--join: not with -o -" in out.stderr
    words = [*word[:-1], "--judge", "source", "--workers", "2"]
    out = subprocess.run(words, capture_output=True, text=True)
    assert out.returncode == 2
    assert "--workers: is an option of --engine-on ray, which is not given" in out.stderr


@pytest.mark.parametrize("option", ["--overwrite", "--fresh"])
def test_options_with_which_each_process_makes_all_shards_again_are_refused(option: str) -> None:
    Path("in").mkdir()
    write_jsonl(Path("in/a.jsonl"), make_pairs(1))
    done = prism("convert", "in", "-o", "out", "--to", "kalm", "--join", option)
    assert done.returncode == 2
    assert "--if-changed redo" in done.stderr
    assert not Path("out").exists()


def test_what_a_process_waits_for_is_said(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = RunOptions(shards.with_name("out"), shared=True, max_seconds=1.5, shard_attempts=3)
    with output_lock(shards.with_name("out") / "2.jsonl"), pytest.raises(LimitReachedError):
        run_rows(EchoStage(), [str(shards)], options, Join())
    said = capsys.readouterr().err
    assert said.count("waiting for other processes on 1 shard, such as ") == 1
    assert "out/2.jsonl" in said


def test_a_file_system_without_locks_is_told_once(
    shards: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("prism_cli.shards.lock.fcntl.flock", refuse)
    assert joined(shards).exit_code == 0
    assert capsys.readouterr().err.count("without locks") == 1
