"""Workers die, hang, stop and lie: each shard is finished once, or named as given up."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.engine.control import Control, Stop
from prism_cli.engine.jobs import Job
from prism_cli.engine.run_board import RunBoard, read_board
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.run_plan import RunPlan, plan_run
from prism_cli.engine.runner import run_rows
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.shared_runner import SharedRunner
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import (
    EngineLostError,
    InterruptedRunError,
    LockedError,
    MissingDataError,
    PrerequisiteError,
    ShardLostError,
    StorageError,
)
from prism_cli.shards.lock import output_lock
from prism_cli.spreads.cluster import WorkerDiedError
from prism_cli.spreads.worker_pool import WorkerPool
from tests.factories import make_pairs, write_jsonl
from tests.fakes import EchoStage, ScoreStage, ScriptedBatch
from tests.spreads.scripted_cluster import HANGS, ScriptedCluster, ScriptedWorker

Stages = Callable[[], RowStage]


class Run:
    """A run of six shards over a scripted cluster, with real shard workers."""

    def __init__(
        self,
        folder: Path,
        shards: int = 6,
        stage: Callable[[], RowStage] = EchoStage,
        **options: Any,
    ) -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "in").mkdir(exist_ok=True)
        for number in range(shards):
            write_jsonl(folder / "in" / f"{number}.jsonl", make_pairs(3 + number))
        self.options = RunOptions(output=self.out, quiet=True, shared=True, **options)
        self.stage = stage
        self.plan = plan_run(stage(), [str(folder / "in")], self.options)
        self.stop = Stop()
        self.here = self._worker(self.plan, self.stop)
        self.board = RunBoard("echo", "ray", self.plan.jobs)
        self.reports: list[ShardReport] = []
        self.workers: dict[int, ShardWorker] = {}

    def _worker(self, plan: RunPlan, stop: Stop) -> ShardWorker:
        control = Control(stop=stop)
        return ShardWorker(plan, control, SharedRunner("echo", plan.options, control))

    def work(self, worker: ScriptedWorker, job: Job) -> ShardReport:
        """Work a shard in truth, by a stage of the worker's own."""
        if worker.number not in self.workers:
            stop = Stop()
            plan = RunPlan(self.stage(), self.options, self.plan.jobs)
            self.workers[worker.number] = self._worker(plan, stop)
        mine = self.workers[worker.number]
        if worker.stopped:
            mine.control.stop.request()
        return mine.work(job)

    def pool(self, cluster: ScriptedCluster, size: int = 2, attempts: int = 3) -> WorkerPool:
        return WorkerPool(
            cluster, self.here, self.board, size, attempts, 100.0, "one CPU", clock=cluster.clock
        )

    def run(self, cluster: ScriptedCluster, size: int = 2, attempts: int = 3) -> None:
        pool = self.pool(cluster, size, attempts)
        try:
            for report in pool.run(self.plan.jobs):
                self.reports.append(report)
        finally:
            pool.close()
        assert not any(worker.alive for worker in cluster.workers)

    def made(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.out.glob("[0-9].jsonl"))}

    def expected(self) -> dict[str, bytes]:
        alone = self.folder / "alone"
        options = replace(self.options, output=alone, overwrite=True, shared=False)
        run_rows(self.stage(), [str(self.folder / "in")], options)
        return {path.name: path.read_bytes() for path in sorted(alone.glob("[0-9].jsonl"))}

    def assert_whole(self) -> None:
        assert self.made() == self.expected()
        assert sorted(report.name for report in self.reports) == [
            job.name for job in self.plan.jobs
        ]
        assert all(report.error is None for report in self.reports)


@pytest.fixture(autouse=True)
def volatile_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk: no test here loses power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_all_workers_share_the_shards(run: Run) -> None:
    cluster = ScriptedCluster(run.work)
    run.run(cluster)
    run.assert_whole()
    assert {number for number, _ in cluster.handed} == {1, 2}
    assert (run.board.attempts, run.board.given_up) == ({}, {})


def test_no_more_workers_than_shards(run: Run) -> None:
    cluster = ScriptedCluster(run.work)
    run.run(cluster, size=50)
    assert len(cluster.workers) == 6


def test_a_death_is_an_attempt_and_the_shard_is_worked_again(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        if worker.number == 1:
            raise WorkerDiedError("killed by the kernel")
        return run.work(worker, job)

    cluster = ScriptedCluster(work)
    run.run(cluster)
    run.assert_whole()
    assert run.board.attempts == {"0.jsonl": 1}
    words = capsys.readouterr().err
    assert "worker 1 on node1 was lost" in words
    assert "0.jsonl: killed by the kernel; the shard is worked again (attempt 1 of 3)" in words


def test_a_shard_that_kills_its_workers_is_given_up_and_the_rest_is_finished(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        if job.record_path.name == "2.jsonl":
            raise WorkerDiedError("out of memory")
        return run.work(worker, job)

    cluster = ScriptedCluster(work)
    run.run(cluster)
    (lost,) = [report for report in run.reports if report.error]
    assert isinstance(lost.error, ShardLostError)
    assert "2.jsonl: 3 workers were lost; out of memory" in str(lost.error)
    assert run.board.given_up == {"2.jsonl": "3 workers were lost; out of memory"}
    assert run.made() == {k: v for k, v in run.expected().items() if k != "2.jsonl"}
    assert [name for _, name in cluster.handed].count("2.jsonl") == 3
    words = capsys.readouterr().err
    assert words.count("the shard is worked again") == 2
    assert "2.jsonl: out of memory; the shard is given up" in words


def test_a_worker_that_published_and_then_died_counts_as_finished(run: Run) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        report = run.work(worker, job)
        if job.record_path.name == "2.jsonl":
            raise WorkerDiedError("killed")
        return report

    cluster = ScriptedCluster(work)
    run.run(cluster, attempts=1)
    run.assert_whole()
    assert [name for _, name in cluster.handed].count("2.jsonl") == 1
    (found,) = [report for report in run.reports if report.summary.finished_before]
    assert found.summary.rows_before == 5


def test_a_report_without_a_manifest_is_not_believed(run: Run) -> None:
    lies = iter(range(2))

    def work(worker: ScriptedWorker, job: Job) -> Any:
        if job.record_path.name == "2.jsonl" and next(lies, None) is not None:
            return ShardReport(job.name, RunSummary("echo"))
        return run.work(worker, job)

    run.run(ScriptedCluster(work))
    run.assert_whole()
    assert not run.board.attempts


def test_an_output_of_another_size_than_its_manifest_says_is_not_believed(run: Run) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        report = run.work(worker, job)
        if job.record_path.name == "2.jsonl":
            (run.out / "2.jsonl").write_bytes(b"{}\n")
        return report

    run.run(ScriptedCluster(work))
    (bad,) = [report for report in run.reports if report.error]
    assert bad.name.endswith("2.jsonl")


def test_a_shard_that_is_never_seen_finished_is_given_up(run: Run) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        if job.record_path.name == "2.jsonl":
            return ShardReport(job.name, RunSummary("echo"))
        return run.work(worker, job)

    run.run(ScriptedCluster(work))
    (reason,) = run.board.given_up.values()
    assert "reported it as finished, and its manifest here does not say so" in reason
    assert "a file system that all nodes share" in reason


def test_overwriting_believes_only_new_manifests(run: Run) -> None:
    run.run(ScriptedCluster(run.work))
    again = Run(run.folder, overwrite=True)
    again.run(ScriptedCluster(again.work))
    again.assert_whole()
    old = Run(run.folder, overwrite=True)
    old.run(ScriptedCluster(lambda worker, job: ShardReport(job.name, RunSummary("echo"))))
    assert len(old.board.given_up) == 6


def test_a_shard_that_another_run_holds_is_tried_until_it_is_free(run: Run) -> None:
    with contextlib.ExitStack() as held:
        held.enter_context(output_lock(run.out / "0.jsonl"))

        def release(cluster: ScriptedCluster) -> None:
            if cluster.now > 40:
                held.close()

        cluster = ScriptedCluster(run.work, on_wait=release)
        run.run(cluster)
    run.assert_whole()
    tries = [name for _, name in cluster.handed].count("0.jsonl")
    assert 4 <= tries <= 8
    assert not run.board.attempts


def test_a_shard_that_stays_held_is_reported_so_after_the_stall_time(run: Run) -> None:
    with output_lock(run.out / "0.jsonl"):
        cluster = ScriptedCluster(run.work)
        run.run(cluster)
    (held,) = [report for report in run.reports if report.error]
    assert isinstance(held.error, LockedError)
    assert 60 < cluster.now < 140
    assert len(run.made()) == 5
    assert not run.board.attempts
    assert not run.board.given_up


def test_a_preempted_worker_costs_no_attempt(run: Run) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        worker.stopped = worker.number < 5
        return run.work(worker, job)

    cluster = ScriptedCluster(work)
    run.run(cluster, attempts=1)
    run.assert_whole()
    assert not run.board.attempts
    assert len(cluster.workers) == 6


def test_a_worker_without_progress_is_replaced(run: Run) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        return HANGS if worker.number == 1 else run.work(worker, job)

    cluster = ScriptedCluster(work)
    run.run(cluster)
    run.assert_whole()
    assert run.board.attempts == {"0.jsonl": 1}
    assert 100 <= cluster.now < 110


def test_a_worker_that_moves_is_not_replaced(run: Run) -> None:
    def move(cluster: ScriptedCluster) -> None:
        for worker in cluster.workers:
            worker.moved = cluster.now // 90

    cluster = ScriptedCluster(run.work, seconds=350, on_wait=move)
    run.run(cluster)
    run.assert_whole()
    assert not run.board.attempts
    assert len(cluster.workers) == 2


def test_a_worker_that_hangs_while_it_builds_the_stage_is_replaced(run: Run) -> None:
    silent_from = 5.0

    def silence(cluster: ScriptedCluster) -> None:
        cluster.workers[0].silent = cluster.now > silent_from

    def opened(worker: ScriptedWorker) -> Any:
        return HANGS if worker.number == 1 else {"host": "node", "pid": worker.number}

    cluster = ScriptedCluster(run.work, opened=opened, on_wait=silence)
    run.run(cluster, size=1)
    run.assert_whole()
    assert 100 < cluster.now < 120


def test_a_model_that_loads_for_long_is_waited_for(run: Run) -> None:
    cluster = ScriptedCluster(run.work)
    cluster.opened = lambda worker: HANGS if cluster.now < 500 else {"host": "a", "pid": 1}
    run.run(cluster, size=1)
    run.assert_whole()
    assert len(cluster.workers) == 1


def test_missing_resources_are_named_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = ScriptedCluster(run.work)

    def opened(worker: ScriptedWorker) -> Any:
        return HANGS if cluster.now < 300 else {"host": "a", "pid": 1}

    def starve(_: ScriptedCluster) -> None:
        for worker in cluster.workers:
            worker.silent = cluster.now < 300

    cluster.opened, cluster.on_wait = opened, starve
    run.run(cluster)
    run.assert_whole()
    words = capsys.readouterr().err
    assert words.count("no worker has started yet; each needs one CPU") == 1


def test_a_stage_that_a_node_cannot_build_ends_the_run(run: Run) -> None:
    def opened(worker: ScriptedWorker) -> Any:
        raise MissingDataError("node1: /data is not there")

    with pytest.raises(MissingDataError, match="node1"):
        run.run(ScriptedCluster(run.work, opened=opened))


def test_workers_that_never_start_end_the_run(run: Run) -> None:
    def opened(worker: ScriptedWorker) -> Any:
        raise WorkerDiedError("no such interpreter")

    with pytest.raises(PrerequisiteError, match="3 workers died before their first shard: no such"):
        run.run(ScriptedCluster(run.work, opened=opened))


def test_a_bad_node_leaves_the_others_at_work(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def opened(worker: ScriptedWorker) -> Any:
        if worker.number > 1:
            raise WorkerDiedError("no driver")
        return {"host": "a", "pid": 1}

    cluster = ScriptedCluster(run.work, opened=opened)
    run.run(cluster, size=2)
    run.assert_whole()
    assert "goes on with 1 workers, since others do not start: no driver" in capsys.readouterr().err


def test_a_full_disk_of_a_worker_ends_the_run(run: Run) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        return ShardReport(job.name, RunSummary("echo"), error=StorageError("disk full"))

    run.run(ScriptedCluster(work))
    assert {type(report.error) for report in run.reports} == {StorageError}


def test_after_a_stop_the_workers_leave_their_shards(run: Run) -> None:
    def stop(cluster: ScriptedCluster) -> None:
        if cluster.now > 2:
            run.stop.request()

    cluster = ScriptedCluster(run.work, on_wait=stop)
    with pytest.raises(InterruptedRunError):
        run.run(cluster)
    assert 0 < len(run.made()) < 6
    assert cluster.now < 6
    assert not run.board.given_up
    assert not run.board.workers
    rest = Run(run.folder)
    rest.run(ScriptedCluster(rest.work))
    assert rest.made() == run.expected()


def test_after_a_stop_a_long_batch_is_waited_for(run: Run) -> None:
    cluster = ScriptedCluster(run.work, seconds=90)
    cluster.on_wait = lambda _: run.stop.request() if cluster.now > 2 else None
    with pytest.raises(InterruptedRunError):
        run.run(cluster)
    assert 90 <= cluster.now < 92
    assert [worker.worked for worker in cluster.workers] == [[job] for job in run.plan.jobs[:2]]


@pytest.mark.parametrize(("silent", "seconds"), [(False, 100), (True, 30)])
def test_after_a_stop_a_worker_that_hangs_is_not_waited_for(
    run: Run, silent: bool, seconds: int
) -> None:
    def stop(_: ScriptedCluster) -> None:
        if cluster.now > 2:
            run.stop.request()
            for worker in cluster.workers:
                worker.silent = silent

    cluster = ScriptedCluster(lambda *_: HANGS, on_wait=stop)
    with pytest.raises(InterruptedRunError):
        run.run(cluster)
    assert seconds <= cluster.now < seconds + 4


def test_a_stop_ends_workers_that_still_build_the_stage(run: Run) -> None:
    def opened(worker: ScriptedWorker) -> Any:
        return HANGS if worker.number == 2 else {"host": "a", "pid": 1}

    cluster = ScriptedCluster(run.work, seconds=10, opened=opened)
    cluster.on_wait = lambda _: run.stop.request() if cluster.now > 2 else None
    with pytest.raises(InterruptedRunError):
        run.run(cluster)
    assert [worker.alive for worker in cluster.workers] == [False, False]
    assert cluster.now < 12


def test_without_the_head_running_shards_are_finished_and_none_is_begun(run: Run) -> None:
    cluster = ScriptedCluster(run.work, seconds=10, lost_at=15)
    with pytest.raises(EngineLostError, match="2 shards not finished") as caught:
        run.run(cluster)
    assert caught.value.exit_code == 6
    assert len(run.made()) == len(run.reports) == len(cluster.handed) == 4
    assert 20 < cluster.now < 25


def test_without_the_head_silent_workers_are_not_waited_for(run: Run) -> None:
    def silence(cluster: ScriptedCluster) -> None:
        for worker in cluster.workers:
            worker.silent = cluster.now > 5

    cluster = ScriptedCluster(run.work, seconds=10, lost_at=5, on_wait=silence)
    with pytest.raises(EngineLostError, match="6 shards not finished"):
        run.run(cluster)
    assert 30 < cluster.now < 40
    assert not run.board.attempts


def test_a_stop_while_the_head_is_lost_ends_the_wait(run: Run) -> None:
    def work(worker: ScriptedWorker, job: Job) -> Any:
        return run.work(worker, job) if worker.stopped else HANGS

    cluster = ScriptedCluster(work, lost_at=5)
    cluster.on_wait = lambda _: run.stop.request() if cluster.now > 10 else None
    with pytest.raises(InterruptedRunError):
        run.run(cluster)
    assert cluster.now < 12


def test_without_the_head_a_shard_that_moves_is_waited_for(run: Run) -> None:
    def move(cluster: ScriptedCluster) -> None:
        for worker in cluster.workers:
            worker.moved = cluster.now // 90

    cluster = ScriptedCluster(run.work, seconds=350, lost_at=5, on_wait=move)
    with pytest.raises(EngineLostError, match="4 shards not finished"):
        run.run(cluster)
    assert len(run.made()) == 2


def test_without_the_head_idle_workers_are_ended(run: Run) -> None:
    def opened(worker: ScriptedWorker) -> Any:
        return HANGS if worker.number == 2 else {"host": "a", "pid": 1}

    cluster = ScriptedCluster(run.work, seconds=10, lost_at=5, opened=opened)
    with pytest.raises(EngineLostError):
        run.run(cluster)
    assert [worker.alive for worker in cluster.workers] == [False, False]


def test_the_board_says_at_any_moment_who_works_where(run: Run) -> None:
    seen: list[dict[str, Any]] = []

    def look(cluster: ScriptedCluster) -> None:
        run.board.save(now=True)
        board = read_board(run.out)
        assert board is not None
        seen.append(board)

    def work(worker: ScriptedWorker, job: Job) -> Any:
        if worker.number == 1:
            raise WorkerDiedError("killed")
        return run.work(worker, job)

    run.out.mkdir()
    run.run(ScriptedCluster(work, on_wait=look))
    busy = next(board for board in seen if board["workers"].get("worker 1", {}).get("shard"))
    worker = busy["workers"]["worker 1"]
    assert worker == {
        "host": "node1", "pid": 1, "shard": "0.jsonl", "since_ms": worker["since_ms"],
        "of": worker["of"],
    }  # fmt: skip
    assert busy["started_ms"] <= worker["since_ms"] <= busy["updated_ms"]
    after = next(board for board in seen if board["attempts"])
    assert (after["engine"], after["attempts"]) == ("ray", {"0.jsonl": 1})
    assert "worker 1" not in after["workers"]
    assert after["shards"] == [f"{number}.jsonl" for number in range(6)]


@settings(max_examples=12)
@given(
    size=st.integers(1, 4),
    deaths=st.lists(st.sampled_from(["before", "half", "after", "silent", "preempted", "-"])),
    paces=st.lists(st.sampled_from([0.1, 0.7, 3.0]), min_size=1),
)
def test_any_order_of_workers_and_deaths_gives_the_same_bytes(
    size: int, deaths: list[str], paces: list[float]
) -> None:
    """Workers die before a shard, after its claim, and after it is published; they hang, and are
    taken away."""
    with TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        run = Run(Path(folder), 4, lambda: ScoreStage(ScriptedBatch()))
        fates, pace = iter(deaths), _cycle(paces)

        def work(worker: ScriptedWorker, job: Job) -> Any:
            cluster.seconds = next(pace)
            fate = next(fates, "-")
            if fate == "before":
                raise WorkerDiedError(fate)
            if fate == "silent":
                worker.silent = True
                return HANGS
            if fate == "half":
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(os, "replace", _killed)
                    patch.setattr(Path, "replace", _killed)
                    run.work(worker, job)
            worker.stopped = fate == "preempted"
            report = run.work(worker, job)
            if fate == "after":
                raise WorkerDiedError(fate)
            return report

        cluster = ScriptedCluster(work)
        run.run(cluster, size=size, attempts=len(deaths) + 1)
        run.assert_whole()


def _cycle(values: list[float]) -> Iterator[float]:
    while True:
        yield from values


def _killed(*_: object) -> None:
    raise WorkerDiedError("half")


def test_surveys_are_handed_out_before_the_work(run: Run) -> None:
    surveyed: list[str] = []

    def survey(_worker: ScriptedWorker, job: Job) -> ShardReport:
        surveyed.append(job.name)
        return ShardReport(job.name, RunSummary("echo"))

    cluster = ScriptedCluster(survey)
    pool = run.pool(cluster)
    assert len(list(pool.run(run.plan.jobs, "survey"))) == len(run.plan.jobs)
    assert sorted(surveyed) == [job.name for job in run.plan.jobs]
    assert run.made() == {}
    cluster.work = run.work
    run.reports = list(pool.run(run.plan.jobs))
    pool.close()
    run.assert_whole()
