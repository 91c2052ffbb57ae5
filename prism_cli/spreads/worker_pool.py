"""The workers of a run on a cluster: shards are handed out, lost ones again, until none is left."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prism_cli.engine.jobs import Job
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.errors import (
    EngineLostError,
    InterruptedRunError,
    LimitReachedError,
    LockedError,
    PrerequisiteError,
)
from prism_cli.reporting.sanitize import escape_line
from prism_cli.shards.timestamps import now_ms
from prism_cli.spreads.cluster import Cluster, WorkerDiedError
from prism_cli.spreads.shard_queue import QueuedShard, ShardQueue
from prism_cli.wording import counted

_TICK_SECONDS = 0.2
_POLL_SECONDS = 2.0
_SILENT_SECONDS = 30.0
"""Time without an answer after which a worker is gone once the run stops or the head is lost."""
_LEAST_PATIENCE_SECONDS = 60.0
"""Least time for which a held shard is tried again: a worker that hung may hold it until its node
has ended it."""
_NOT_SEEN = (
    "{} reported it as finished, and its manifest here does not say so; is the folder of outputs "
    "on a file system that all nodes share?"
)
_PATIENCE_SECONDS = 30.0
"""Time without any worker after which the missing resources are named."""


@dataclass(eq=False)
class _Worker:
    """A worker, and the shard that it works on.

    Attributes:
        call: reference of the call in progress: of `open`, then of `work`; None for an idle one.
        poll: reference of the call of `progress` in flight.
        heard_at: when it last answered; None before the first time.
        moved: the last progress that was seen, and `moved_at` when it changed.
    """

    name: str
    handle: Any
    call: Any
    polled_at: float
    moved_at: float
    shard: QueuedShard | None = None
    opened: bool = False
    poll: Any = None
    heard_at: float | None = None
    moved: object = None


@dataclass
class WorkerPool:
    """Hands the shards of one run to workers.

    Attributes:
        here: of this process: its control says when to stop, its plan which stage it is.
        size: number of workers.
        attempts: workers that a shard may cost before it is given up.
        stall_seconds: time without progress after which a worker is replaced, and for which, or
            for a minute, a shard that another run holds is tried again.
        needs: resources of a worker in words, for messages.
        quiet: say nothing of lost workers until the end.
        clock: seconds, as `time.monotonic`.
    """

    cluster: Cluster
    here: ShardWorker
    board: RunBoard
    size: int
    attempts: int
    stall_seconds: float
    needs: str = ""
    quiet: bool = False
    clock: Callable[[], float] = time.monotonic
    _workers: list[_Worker] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _failed_starts: int = 0
    _stopping: bool = False
    _method: str = "work"

    def __post_init__(self) -> None:
        patience = max(self.stall_seconds, _LEAST_PATIENCE_SECONDS)
        self._queue = ShardQueue(self.here.plan, self.board, self.attempts, patience)
        self._name_needs_at = self.clock() + _PATIENCE_SECONDS

    def run(self, jobs: Sequence[Job], method: str = "work") -> Iterator[ShardReport]:
        """Yield the report of each shard as it ends.

        Args:
            method: `work`, or `survey`, whose results are taken as they are.

        Raises:
            InterruptedRunError, LimitReachedError: after the workers have left their shards.
            EngineLostError: the cluster is lost; the running shards were waited for.
            PrismError: a worker cannot build the stage.
        """
        self._method = method
        self._queue.add(jobs)
        try:
            while self._queue or self._busy:
                self.here.control.check()
                if self.cluster.lost:
                    yield from self._finish_without_head()
                self._start_workers()
                self._hand_out()
                self.board.save()
                yield from self._ended(_TICK_SECONDS)
                self._poll()
                yield from self._replace_stalled()
        except (InterruptedRunError, LimitReachedError):
            yield from self._leave_shards()
            raise

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            self.cluster.kill(worker.handle)
        self._workers.clear()
        self.board.workers.clear()

    @property
    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.shard]

    def _start_workers(self) -> None:
        now, wanted = self.clock(), min(self.size, len(self._queue) + len(self._busy))
        while len(self._workers) < wanted and self.cluster.answers:
            handle = self.cluster.start()
            call = self.cluster.call(handle, "open")
            name = f"worker {next(self._numbers)}"
            self._workers.append(_Worker(name, handle, call, polled_at=now, moved_at=now))
        if any(worker.opened for worker in self._workers):
            self._name_needs_at = float("inf")
        elif now > self._name_needs_at:
            self._name_needs_at = float("inf")
            self._say(
                f"no worker has started yet; each needs {self.needs}, and the cluster may be busy, "
                "or have no such node (`ray status` shows its resources)"
            )

    def _hand_out(self) -> None:
        now = self.clock()
        for worker in self._workers:
            if worker.opened and not worker.shard:
                shard = self._queue.take(now)
                if shard is None:
                    return
                worker.shard = shard
                worker.call = self.cluster.call(worker.handle, self._method, shard.job)
                worker.moved, worker.moved_at = None, now
                self.board.workers[worker.name] |= {"shard": shard.name, "since_ms": now_ms()}

    def _ended(self, seconds: float) -> Iterator[ShardReport]:
        """Yield the reports of shards that end within `seconds`."""
        calls = [ref for each in self._workers for ref in (each.call, each.poll) if ref is not None]
        ended = set(self.cluster.wait(calls, seconds))
        for worker in list(self._workers):
            if worker.poll in ended:
                self._take_poll(worker)
            if worker.call in ended:
                yield from self._take_call(worker)

    def _take_poll(self, worker: _Worker) -> None:
        reference, worker.poll = worker.poll, None
        try:
            moved = self.cluster.result(reference)
        except WorkerDiedError:
            return  # its call ends, too
        worker.heard_at = self.clock()
        if moved != worker.moved or not worker.opened:
            worker.moved, worker.moved_at = moved, worker.heard_at

    def _take_call(self, worker: _Worker) -> Iterator[ShardReport]:
        reference, worker.call = worker.call, None
        try:
            result = self.cluster.result(reference)
        except WorkerDiedError as error:
            yield from self._died(worker, str(error))
            return
        if not worker.opened:
            worker.opened, self._failed_starts = True, 0
            self.board.workers[worker.name] = result
            return
        shard, worker.shard = worker.shard, None
        for name in ("shard", "since_ms"):
            self.board.workers[worker.name].pop(name, None)
        assert shard is not None
        yield from self._reported(worker, shard, result)

    def _reported(
        self, worker: _Worker, shard: QueuedShard, report: ShardReport
    ) -> Iterator[ShardReport]:
        queue, now, summary = self._queue, self.clock(), report.summary
        where = self.board.workers.get(worker.name, {}).get("host", "its worker")
        if isinstance(report.error, InterruptedRunError):  # its node is being taken away
            self._remove(worker)
            queue.put_back(shard)
        elif isinstance(report.error, LockedError):
            if not queue.put_held(shard, now):
                yield report
        elif (
            report.error
            or self._method == "survey"
            or summary.unpublished
            or queue.published(
                shard, pending=bool(summary.counts.pending), before=bool(summary.finished_before)
            )
        ):
            yield report
        elif not queue.put_held(shard, now):
            yield queue.give_up(shard, _NOT_SEEN.format(where))

    def _died(self, worker: _Worker, reason: str) -> Iterator[ShardReport]:
        """Forget a worker that is gone; queue its shard again, or report it."""
        where = self.board.workers.get(worker.name, {}).get("host", "")
        self._remove(worker)
        if worker.shard is None:
            self._failed_to_start(reason)
        elif self._stopping or not self.cluster.answers:  # the shard is not to blame
            self._queue.put_back(worker.shard)
        else:
            report = self._queue.lost(worker.shard, reason)
            lost = self.board.attempts[worker.shard.name]
            self._say(
                f"{worker.name} on {where} was lost with {worker.shard.job.name}: {reason}; "
                f"{self._outlook(lost, report)}"
            )
            if report:
                yield report

    def _outlook(self, lost: int, report: ShardReport | None) -> str:
        """Return what becomes of a shard whose worker was lost."""
        if report is None:
            return f"the shard is worked again (attempt {lost} of {self.attempts})"
        return "the shard is given up" if report.error else "the shard is finished"

    def _failed_to_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts < self.attempts:
            return
        if not any(worker.opened for worker in self._workers):
            raise PrerequisiteError(
                f"{self._failed_starts} workers died before their first shard: {reason}"
            )
        self.size, self._failed_starts = len(self._workers), 0
        self._say(f"goes on with {self.size} workers, since others do not start: {reason}")

    def _poll(self) -> None:
        """Ask the workers for their progress."""
        now = self.clock()
        for worker in self._workers:
            if worker.poll is None and worker.call and now - worker.polled_at >= _POLL_SECONDS:
                worker.poll = self.cluster.call(worker.handle, "progress")
                worker.polled_at = now

    def _replace_stalled(self) -> Iterator[ShardReport]:
        """End workers without progress for too long. One that builds the stage must only answer;
        one that waits for its resources has not answered yet."""
        now = self.clock()
        for worker in list(self._workers):
            begun = worker.shard or (worker.heard_at is not None and not worker.opened)
            if begun and now - worker.moved_at >= self.stall_seconds:
                yield from self._died(worker, f"no progress for {self.stall_seconds:g} s")

    def _leave_shards(self) -> Iterator[ShardReport]:
        """Ask the workers to leave their shards; yield the reports of those that end instead."""
        for worker in self._busy:
            self.cluster.call(worker.handle, "stop")
        yield from self._finish_running()

    def _finish_without_head(self) -> Iterator[ShardReport]:
        """Yield the reports of the running shards, then raise; give up workers that are silent."""
        if self._busy:
            self._say("the cluster's head does not answer; the running shards are waited for")
        yield from self._finish_running(checks=True)
        left = len(self._queue) + len(self._busy)
        raise EngineLostError(
            f"the cluster's head does not answer; {counted(left, 'shard')} not finished. Start the "
            "cluster, then run the same command: it goes on there"
        )

    def _finish_running(self, *, checks: bool = False) -> Iterator[ShardReport]:
        """Yield the reports of shards in work that end; no other is begun. A worker that does not
        answer, or makes no progress, is not waited for."""
        self._stopping = True
        for worker in [each for each in self._workers if not each.shard]:
            self._remove(worker)
        while self._busy:
            if checks:
                self.here.control.check()
            for report in self._ended(_TICK_SECONDS):
                if report.error is None:
                    yield report
            self._poll()
            for worker in self._busy:
                if self.clock() - (worker.heard_at or worker.moved_at) > _SILENT_SECONDS:
                    yield from self._died(worker, "")
            yield from self._replace_stalled()
            self.board.save()

    def _remove(self, worker: _Worker) -> None:
        self.cluster.kill(worker.handle)
        self._workers.remove(worker)
        self.board.workers.pop(worker.name, None)

    def _say(self, words: str) -> None:
        if not self.quiet:
            print(escape_line(f"prism: {words}"), file=sys.stderr, flush=True)
