"""A cluster in this process: workers are `ShardActor`s or scripts, its clock moves by waiting."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prism_cli.engine.jobs import Job
from prism_cli.errors import PrismError
from prism_cli.spreads.cluster import WorkerDiedError

Step = Callable[["ScriptedWorker", Job], Any]
"""What a worker does with a shard: returns a report, raises, or returns HANGS."""
HANGS = object()


@dataclass(eq=False)
class ScriptedWorker:
    """A worker; `ends_at` of a shard is when its result is there."""

    number: int
    alive: bool = True
    stopped: bool = False
    silent: bool = False
    moved: float = 0.0
    worked: list[Job] = field(default_factory=list)


@dataclass(eq=False)
class Call:
    """A call in flight."""

    worker: ScriptedWorker
    method: str
    job: Job | None
    at: float
    result: Any = None


@dataclass
class ScriptedCluster:
    """Calls end in the order in which they were begun, `seconds` after that.

    Attributes:
        work: what a worker does with a shard, asked when the call ends.
        opened: what `open` returns or raises; HANGS while there are no resources.
        lost_at: time at which the head is lost.
        on_wait: called at each look.
    """

    work: Step
    seconds: float = 1.0
    opened: Callable[[ScriptedWorker], Any] = lambda worker: {
        "host": f"node{worker.number}",
        "pid": worker.number,
    }
    lost_at: float = float("inf")
    on_wait: Callable[["ScriptedCluster"], None] = lambda _: None
    now: float = 0.0
    workers: list[ScriptedWorker] = field(default_factory=list)
    handed: list[tuple[int, str]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    @property
    def lost(self) -> bool:
        return self.now >= self.lost_at

    @property
    def answers(self) -> bool:
        return not self.lost

    def start(self) -> ScriptedWorker:
        self.workers.append(ScriptedWorker(len(self.workers) + 1))
        return self.workers[-1]

    def call(self, worker: ScriptedWorker, method: str, *args: Any) -> Call:
        if method == "stop":
            worker.stopped = True
        if method == "work":
            self.handed.append((worker.number, args[0].record_path.name))
        at = self.now + (self.seconds if method == "work" else 0.0)
        return Call(worker, method, args[0] if args else None, at)

    def wait(self, references: Sequence[Call], seconds: float) -> Sequence[Call]:
        self.now += seconds
        self.on_wait(self)
        return [call for call in references if self._has_ended(call)]

    def _has_ended(self, call: Call) -> bool:
        worker = call.worker
        if call.result is not None or not worker.alive:
            return True
        if worker.silent or self.now < call.at:
            return False
        try:
            if call.method == "progress":
                call.result = ("", worker.moved)
            elif call.method == "open":
                call.result = self.opened(worker)
            else:
                assert call.job is not None
                call.result = self.work(worker, call.job)
        except (PrismError, WorkerDiedError) as error:
            call.result = error
        if call.result is HANGS:
            call.result = None
        return call.result is not None

    def result(self, reference: Call) -> Any:
        worker, result = reference.worker, reference.result
        if result is None or isinstance(result, WorkerDiedError):
            worker.alive = False
            raise result or WorkerDiedError(f"worker {worker.number} was killed")
        if isinstance(result, PrismError):
            raise result
        if reference.job:
            worker.worked.append(reference.job)
        return result

    def kill(self, worker: ScriptedWorker) -> None:
        worker.alive = False
