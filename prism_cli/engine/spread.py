"""Ways to spread the shards of a run over workers.

A spread places work and nothing else: outputs, manifests and resume are the worker's. Each way
calls `ShardWorker.work`, so that the bytes do not depend on the way.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

from prism_cli.engine.job_order import rotated
from prism_cli.engine.jobs import Job
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.errors import LockedError
from prism_cli.reporting.sanitize import escape_invisible
from prism_cli.wording import counted

_LOOK_SECONDS = (0.5, 15.0)
"""First and longest wait before shards that others hold are looked at again."""


class Spread(Protocol):
    """Hands shards to workers until each has a report."""

    @property
    def name(self) -> str:
        """Name in the run's board."""

    def work(
        self, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard
    ) -> Iterator[ShardReport]:
        """Yield the report of each shard as it comes.

        Args:
            worker: works shards in this process.
            board: where attempts and given-up shards are noted.

        Raises:
            InterruptedRunError, LimitReachedError: the run must stop.
        """

    def survey(self, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard) -> None:
        """Have other workers look for the queries of shards, so that this process need not read
        them; called before `work`. Nothing by default."""
        return

    def close(self) -> None:
        """End what `survey` and `work` have started."""
        return


class Here(Spread):
    """One shard after another, in this process."""

    name = "here"

    def work(
        self, jobs: Sequence[Job], worker: ShardWorker, _board: RunBoard
    ) -> Iterator[ShardReport]:
        """Yield the reports in order."""
        for job in jobs:
            yield worker.work(job)


class Join(Spread):
    """Shards that several processes work together, each started by the same command: a shard
    belongs to who holds its output's lock, and is looked at again until it is finished."""

    name = "join"

    def work(
        self, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard
    ) -> Iterator[ShardReport]:
        """Yield the report of each shard once it is finished, by this process or another."""
        waiting = rotated(jobs)
        wait, longest = _LOOK_SECONDS
        quiet = worker.plan.options.quiet
        while waiting:
            held = []
            for job in waiting:
                report = worker.work(job)
                if isinstance(report.error, LockedError):
                    held.append(job)
                else:
                    wait = _LOOK_SECONDS[0]
                    yield report
            if len(held) == len(waiting):
                if wait > _LOOK_SECONDS[0] and not quiet:
                    quiet = True
                    shards = f"{counted(len(held), 'shard')}, such as {held[0].name}"
                    print(
                        escape_invisible(f"prism: waiting for other processes on {shards}"),
                        file=sys.stderr,
                        flush=True,
                    )
                board.save()
                worker.control.wait(wait)
                wait = min(2 * wait, longest)
            waiting = held
