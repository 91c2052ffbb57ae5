"""Shards on a Ray cluster: one actor a worker, each with its model loaded once.

Ray places the workers and knows their GPUs. Rows never pass through it: an actor gets a job's paths
and returns counts. A shard is done when its manifest says so.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.stage_spec import StageSpec
from prism_cli.spreads.ray_cluster import RayCluster
from prism_cli.spreads.shard_actor import ActorSetup
from prism_cli.spreads.worker_pool import WorkerPool


@dataclass(frozen=True)
class RayActors:
    """Spread over the actors of a Ray cluster.

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

    def work(
        self, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard
    ) -> Iterator[ShardReport]:
        """Yield the reports as shards end, in any order.

        Raises: as `RayCluster` and `WorkerPool.run`.
        """
        if not jobs:
            return
        variables = {name: v for name, v in os.environ.items() if name.startswith("PRISM_")}
        setup = ActorSetup(self.spec, self.options, worker.surveyed, str(Path.cwd()), variables)
        label = f"{worker.plan.stage.name} by {self.workers} workers"
        with (
            RayCluster(self.address, self.workers, setup, self.gpus) as cluster,
            show_progress(label, len(jobs), quiet=self.options.quiet) as progress,
        ):
            progress.unit = "shards"
            pool = WorkerPool(
                cluster,
                worker,
                board,
                self.workers,
                self.attempts,
                self.stall_seconds,
                f"one CPU and {self.gpus:g} GPUs",
                quiet=self.options.quiet,
            )
            try:
                for report in pool.run(jobs):
                    progress.advance(1, 0.0)
                    yield report
            finally:
                pool.close()
