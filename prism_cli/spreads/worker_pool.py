"""The workers of a run on a cluster: shards are handed out, lost ones again, until none is left."""

import itertools
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from prism_cli.engine.jobs import Job
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import (
    EngineLostError,
    InterruptedRunError,
    LimitReachedError,
    LockedError,
    PrerequisiteError,
    ShardLostError,
)

_TICK_SECONDS = 0.2
_POLL_SECONDS = 2.0
_DRAIN_SECONDS = 25.0
"""Time that workers have to leave a shard after a stop; their own grace period is 20 s."""
_BACK_OFF = (1.0, 30.0)
"""First and longest wait before a shard that another run holds is tried again."""
_PATIENCE_SECONDS = 30.0
"""Time without any worker after which the missing resources are named."""


class WorkerDiedError(Exception):
    """A worker's process ended, or raised what prism does not expect."""


class Cluster(Protocol):
    """Where workers run. A call is started at once and its reference is awaited."""

    @property
    def lost(self) -> bool:
        """True if no more workers can be started or found."""

    def start(self) -> Any:
        """Return a new worker, which may wait for free resources."""

    def call(self, worker: Any, method: str, *args: Any) -> Any:
        """Call a method of `ShardActor`; return the reference of its result."""

    def wait(self, references: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return those of the calls that have ended, after at most `seconds`."""

    def result(self, reference: Any) -> Any:
        """Return the result of a call that has ended.

        Raises:
            PrismError: of the call.
            WorkerDiedError: the worker is gone, or the call raised another error.
        """

    def kill(self, worker: Any) -> None:
        """End a worker at once."""


@dataclass
class _Waiting:
    """A shard that is not in work.

    Attributes:
        held_since: when another run was first found to hold it.
        not_before: time of the next attempt, for one that another run holds.
    """

    job: Job
    held_since: float | None = None
    not_before: float = 0.0
    wait: float = _BACK_OFF[0]


@dataclass
class _Worker:
    """A worker, and the shard that it works on.

    Attributes:
        call: reference of the call in progress: of `open`, then of `work`; None for an idle one.
        poll: reference of the call of `progress` in flight.
        moved: the last progress that was seen, and `moved_at` when it changed.
    """

    name: str
    handle: Any
    call: Any
    shard: _Waiting | None = None
    opened: bool = False
    poll: Any = None
    polled_at: float = field(default_factory=time.monotonic)
    moved: object = None
    moved_at: float = field(default_factory=time.monotonic)


@dataclass
class WorkerPool:
    """Hands the shards of one run to workers.

    Attributes:
        here: of this process: its control says when to stop, its plan what is finished.
        size: number of workers.
        attempts: workers that a shard may cost before it is given up.
        stall_seconds: time without progress after which a worker is replaced, and for which a
            shard that another run holds is tried again.
        needs: resources of a worker in words, for messages.
    """

    cluster: Cluster
    here: ShardWorker
    board: RunBoard
    size: int
    attempts: int
    stall_seconds: float
    needs: str = ""
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _workers: list[_Worker] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _failed_starts: int = 0
    _began: float = field(default_factory=time.monotonic)

    def run(self, jobs: Sequence[Job]) -> Iterator[ShardReport]:
        """Yield the report of each shard as it ends.

        Raises:
            InterruptedRunError, LimitReachedError: after the workers have left their shards.
            EngineLostError: the cluster is lost; the running shards were waited for.
            PrismError: a worker cannot build the stage.
        """
        self._waiting.extend(map(_Waiting, jobs))
        try:
            while self._waiting or self._busy:
                self.here.control.check()
                if self.cluster.lost:
                    yield from self._finish_running(self.stall_seconds)
                    raise EngineLostError(
                        f"the cluster's head is gone; {len(self._waiting):,} shards were not "
                        "worked. Start the cluster, then run the same command: it goes on there"
                    )
                self._start_workers()
                self._hand_out()
                yield from self._ended(_TICK_SECONDS)
                yield from self._replace_stalled()
                self.board.save()
        except (InterruptedRunError, LimitReachedError):
            for worker in self._busy:
                self.cluster.call(worker.handle, "stop")
            yield from self._finish_running(_DRAIN_SECONDS)
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
        while len(self._workers) < min(self.size, len(self._waiting) + len(self._busy)):
            handle = self.cluster.start()
            call = self.cluster.call(handle, "open")
            self._workers.append(_Worker(f"worker {next(self._numbers)}", handle, call))
        none_yet = not any(worker.opened for worker in self._workers)
        if none_yet and time.monotonic() - self._began > _PATIENCE_SECONDS:
            self._began = float("inf")
            print(
                f"prism: no worker has started yet; each needs {self.needs}, and the cluster may "
                "be busy, or have no such node",
                file=sys.stderr,
                flush=True,
            )

    def _hand_out(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.opened and not worker.shard:
                shard = next((one for one in self._waiting if one.not_before <= now), None)
                if shard is None:
                    return
                self._waiting.remove(shard)
                worker.shard, worker.call = (
                    shard,
                    self.cluster.call(worker.handle, "work", shard.job),
                )
                worker.moved, worker.moved_at, worker.poll = None, now, None
                self.board.workers[worker.name]["shard"] = shard.job.record_path.name

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
        if moved != worker.moved:
            worker.moved, worker.moved_at = moved, time.monotonic()

    def _take_call(self, worker: _Worker) -> Iterator[ShardReport]:
        reference, worker.call = worker.call, None
        try:
            result = self.cluster.result(reference)
        except WorkerDiedError as error:
            self._remove(worker)
            if worker.shard:
                yield from self._lost(worker.shard, str(error))
            else:
                self._failed_starts += 1
                if self._failed_starts >= self.attempts:
                    raise PrerequisiteError(
                        f"{self._failed_starts} workers died before their first shard: {error}"
                    ) from None
            return
        if not worker.opened:
            worker.opened, self._failed_starts = True, 0
            self.board.workers[worker.name] = result
            return
        shard, worker.shard = worker.shard, None
        self.board.workers[worker.name].pop("shard", None)
        assert shard is not None
        yield from self._reported(worker, shard, result)

    def _reported(
        self, worker: _Worker, shard: _Waiting, report: ShardReport
    ) -> Iterator[ShardReport]:
        if isinstance(report.error, InterruptedRunError):  # its node is being taken away
            self._remove(worker)
            self._waiting.append(shard)
        elif isinstance(report.error, LockedError) and self._may_wait(shard):
            self._waiting.append(shard)
        elif report.error or report.summary.unpublished or self.here.plan.finished(shard.job):
            yield report
        else:
            yield from self._lost(shard, "its manifest does not say that it is finished")

    def _may_wait(self, shard: _Waiting) -> bool:
        """Return whether a shard that another run holds is tried again, and set when."""
        now = time.monotonic()
        shard.held_since = shard.held_since or now
        shard.not_before = now + shard.wait
        shard.wait = min(2 * shard.wait, _BACK_OFF[1])
        return shard.not_before - shard.held_since <= self.stall_seconds

    def _lost(self, shard: _Waiting, reason: str) -> Iterator[ShardReport]:
        """Queue a shard whose worker was lost, or give it up."""
        name = shard.job.record_path.name
        self.board.attempts[name] += 1
        if self.board.attempts[name] < self.attempts:
            self._waiting.append(shard)
            return
        self.board.given_up[name] = reason
        error = ShardLostError(f"{shard.job.name}: {self.attempts} workers were lost; {reason}")
        yield ShardReport(shard.job.name, RunSummary(self.here.plan.stage.name), error=error)

    def _replace_stalled(self) -> Iterator[ShardReport]:
        """Ask the workers for their progress; end those without any for too long."""
        now = time.monotonic()
        for worker in self._busy:
            if worker.poll is None and now - worker.polled_at >= _POLL_SECONDS:
                worker.poll = self.cluster.call(worker.handle, "progress")
                worker.polled_at = now
            if worker.shard and now - worker.moved_at >= self.stall_seconds:
                self._remove(worker)
                yield from self._lost(worker.shard, f"no progress for {self.stall_seconds:g} s")

    def _finish_running(self, seconds: float) -> Iterator[ShardReport]:
        """Yield the reports of shards in work that end within `seconds`; no other is begun."""
        until = time.monotonic() + seconds
        while self._busy and time.monotonic() < until:
            for worker in list(self._workers):
                if not worker.shard:
                    self._workers.remove(worker)
            for report in self._ended(_TICK_SECONDS):
                if report.error is None:
                    yield report

    def _remove(self, worker: _Worker) -> None:
        self.cluster.kill(worker.handle)
        self._workers.remove(worker)
        self.board.workers.pop(worker.name, None)
