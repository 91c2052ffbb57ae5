"""Ways to spread the shards of a run over workers.

A spread places work and nothing else: outputs, manifests and resume are the worker's. Each way
calls `ShardWorker.work`, so that the bytes do not depend on the way.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from prism_cli.engine.jobs import Job
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker


class Spread(Protocol):
    """Hands shards to workers until each has a report."""

    def work(self, jobs: Sequence[Job], worker: ShardWorker) -> Iterator[ShardReport]:
        """Yield the report of each shard as it comes.

        Args:
            worker: works shards in this process.

        Raises:
            InterruptedRunError, LimitReachedError: the run must stop.
        """


class Here:
    """One shard after another, in this process."""

    def work(self, jobs: Sequence[Job], worker: ShardWorker) -> Iterator[ShardReport]:
        """Yield the reports in order."""
        for job in jobs:
            yield worker.work(job)
