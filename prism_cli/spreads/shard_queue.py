"""Shards of a run that wait for a worker, and those that were given up."""

import heapq
import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prism_cli.engine.jobs import Job
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.run_plan import RunPlan
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import LockedError, ShardLostError
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import read_manifest

_BACK_OFF = (1.0, 30.0)
"""First and longest wait before a shard that another run holds is tried again."""


@dataclass(eq=False, slots=True)
class QueuedShard:
    """A shard that is not finished.

    Attributes:
        attempt_before: attempt in its manifest when it was first handed out; None before.
        held_since: when another run was first found to hold it; None if none does.
        wait: seconds before the next attempt while another run holds it.
    """

    job: Job
    attempt_before: str | None = None
    held_since: float | None = None
    wait: float = _BACK_OFF[0]

    @property
    def name(self) -> str:
        """Name on the board."""
        return self.job.record_path.name


@dataclass
class ShardQueue:
    """Hands out each shard until it is finished or given up.

    Attributes:
        attempts: workers that a shard may cost before it is given up.
        patience: seconds for which a shard that another run holds is tried again.
    """

    plan: RunPlan
    board: RunBoard
    attempts: int
    patience: float
    _ready: deque[QueuedShard] = field(default_factory=deque)
    _held: list[tuple[float, int, QueuedShard]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __len__(self) -> int:
        return len(self._ready) + len(self._held)

    def add(self, jobs: Sequence[Job]) -> None:
        """Add shards that are not finished."""
        self._ready.extend(map(QueuedShard, jobs))

    def take(self, now: float) -> QueuedShard | None:
        """Return a shard to work; None while there is none, or others hold the rest."""
        if self._held and self._held[0][0] <= now:
            shard = heapq.heappop(self._held)[-1]
        elif self._ready:
            shard = self._ready.popleft()
        else:
            return None
        if shard.attempt_before is None:
            shard.attempt_before = (read_manifest(shard.job.manifest_path) or {}).get("attempt", "")
        return shard

    def put_back(self, shard: QueuedShard) -> None:
        """Queue a shard again without counting an attempt."""
        self._ready.append(shard)

    def put_held(self, shard: QueuedShard, now: float) -> bool:
        """Queue a shard that another run holds for a later attempt; return False if it was tried
        for long enough."""
        if shard.held_since is None:
            shard.held_since = now
        again = now + shard.wait
        shard.wait = min(2 * shard.wait, _BACK_OFF[1])
        if again - shard.held_since > self.patience:
            return False
        heapq.heappush(self._held, (again, next(self._numbers), shard))
        return True

    def lost(self, shard: QueuedShard, reason: str) -> ShardReport | None:
        """Count a lost worker; queue its shard again and return None, or return a report: of the
        shard as finished if it was published before, or as given up."""
        if manifest := self.published(shard):
            report = ShardReport(shard.job.name, RunSummary(self.plan.stage.name))
            job = shard.job
            report.summary.add_finished((job.outputs or {}).values(), job.record_path, manifest)
            return report
        self.board.attempts[shard.name] += 1
        if self.board.attempts[shard.name] < self.attempts:
            self.put_back(shard)
            return None
        return self.give_up(shard, f"{self.attempts} workers were lost; {reason}")

    def give_up(self, shard: QueuedShard, reason: str) -> ShardReport:
        """Note on the board that a shard is given up; return its report."""
        self.board.given_up[shard.name] = reason
        error = ShardLostError(f"{shard.job.name}: {reason}")
        return ShardReport(shard.job.name, RunSummary(self.plan.stage.name), error=error)

    def published(
        self, shard: QueuedShard, *, pending: bool = False, before: bool = False
    ) -> Mapping[str, Any] | None:
        """Return the manifest if it and the outputs say that the shard is done since it was handed
        out; None otherwise. The digests are the worker's business: here sizes are compared.

        Args:
            pending: rows may be pending.
            before: it may have been finished before it was handed out.
        """
        job = shard.job
        if staged := self.plan.staged(job):
            try:
                with output_lock(job.record_path):
                    staged.refresh()
            except LockedError:
                return None
        manifest = read_manifest(job.manifest_path)
        if manifest is None or job.outputs is None or not (manifest["finished"] or pending):
            return None
        if manifest["attempt"] == shard.attempt_before and not before:
            return None
        records = manifest["outputs"]
        for path in job.outputs.values():
            try:
                if path.stat().st_size != records[path.name]["bytes"]:
                    return None
            except (OSError, KeyError):
                return None
        return manifest
