"""Shards on a Ray cluster: one actor a worker, each with its model loaded once.

Ray places the workers and knows their GPUs. Rows never pass through it: an actor gets a job's paths
and returns counts. A shard is done when its manifest says so.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.spread import Spread
from prism_cli.engine.stage_spec import StageSpec
from prism_cli.spreads.ray_cluster import RayCluster
from prism_cli.spreads.shard_actor import ActorSetup
from prism_cli.spreads.shared_files import SharedFiles
from prism_cli.spreads.worker_pool import WorkerPool


def variables_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return prism's variables without secrets such as PRISM_API_KEYS: Ray stores what actors get,
    and each node has keys of its own."""
    return {k: v for k, v in environment.items() if k.startswith("PRISM_") and "KEY" not in k}


@dataclass
class RayActors(Spread):
    """Spread over the actors of a Ray cluster, which is reached when the first shard needs it.

    Attributes:
        spec: how an actor builds the stage.
        options: those of the run.
        address: of the cluster, `auto` or HOST:PORT; None starts one on this machine.
        workers: number of actors.
        gpus: of each, which also has one CPU.
        attempts, stall_seconds: as `WorkerPool`.
    """

    spec: StageSpec
    options: RunOptions
    address: str | None
    workers: int
    gpus: float
    attempts: int
    stall_seconds: float
    name = "ray"
    _opened: WorkerPool | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def survey(self, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard) -> None:
        """Have the actors store the hashes of queries; a shard that costs too many of them is left
        to this process.

        Raises: as `work`.
        """
        for _ in self._run(
            "survey", f"{self._label(worker)} look for queries", jobs, worker, board
        ):
            pass

    def work(
        self, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard
    ) -> Iterator[ShardReport]:
        """Yield the reports as shards end, in any order.

        Raises: as `RayCluster` and `WorkerPool.run`.
        """
        yield from self._run("work", self._label(worker), jobs, worker, board)

    def close(self) -> None:
        """End the actors and the connection."""
        self._stack.close()

    def _run(
        self, method: str, label: str, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard
    ) -> Iterator[ShardReport]:
        """Yield what the actors' `method` returns for each shard, with progress in shards."""
        if not jobs:
            return
        pool = self._pool(worker, board)
        with show_progress(label, len(jobs), quiet=self.options.quiet, unit="shards") as progress:
            for report in pool.run(jobs, method):
                progress.advance(1, 0.0)
                yield report

    def _label(self, worker: ShardWorker) -> str:
        return f"{worker.plan.stage.name} by {self.workers} workers"

    def _pool(self, worker: ShardWorker, board: RunBoard) -> WorkerPool:
        if self._opened is None:
            if self.address is None and not self.options.quiet:
                print("prism: starting Ray on this machine …", file=sys.stderr, flush=True)
            setup = ActorSetup(
                self.spec,
                worker.plan.options,
                worker.surveyed,
                worker.sizes,
                str(Path.cwd()),
                variables_of(os.environ),
                SharedFiles.of(worker.plan.jobs),
            )
            cluster = self._stack.enter_context(
                RayCluster(self.address, self.workers, setup, self.gpus, worker.control.check)
            )
            self._opened = WorkerPool(
                cluster,
                worker,
                board,
                self.workers,
                self.attempts,
                self.stall_seconds,
                f"one CPU and {self.gpus:g} GPUs",
                quiet=self.options.quiet,
            )
            self._stack.callback(self._opened.close)
        return self._opened
