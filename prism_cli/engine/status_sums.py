"""Sums over the outputs of `prism status`."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from prism_cli.engine.status import RunStatus

_LEFT = ("never started", "stopped", "pending", "refused", "hung")
"""States of outputs whose rows are still to be worked."""


@dataclass
class StatusSums:
    """Sums over outputs, which are added one by one.

    Attributes:
        rows_per_second: over all processes that work now.
    """

    states: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    usage: Counter[str] = field(default_factory=Counter)
    through: int = 0
    seconds: float = 0.0
    rows_per_second: float = 0.0
    processes: set[tuple[str, int]] = field(default_factory=set)
    _rows_known: int = 0
    _shards_known: int = 0
    _rows_in_work: int = 0
    _in_work_unknown: int = 0

    def add(self, status: RunStatus) -> None:
        """Add an output."""
        self.states[status.state] += 1
        for name in ("rows", "done", "rejected", "pending", "written"):
            self.counts[name] += status.counts.get(name, 0)
        self.counts["dropped"] += sum(status.counts.get("dropped", {}).values())
        if status.usage:
            self.usage.update(status.usage)
        self.through += status.through
        self.seconds += status.seconds
        if status.state == "running":
            self.rows_per_second += status.rows_per_second
            self.processes.add((status.host, status.process))
        rows = status.counts.get("rows", 0) if status.state == "finished" else status.total
        if rows is not None:
            self._rows_known += rows
            self._shards_known += 1
            if status.state == "running":
                self._rows_in_work += max(0, rows - status.through)
        elif status.state == "running":
            self._in_work_unknown += 1

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.states.total()

    @property
    def hosts(self) -> set[str]:
        """Machines that work now."""
        return {host for host, _ in self.processes}

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the mean of the rows of an output, and the rate now; None if no process
        works, or the rows are unknown."""
        waiting = sum(self.states[state] for state in _LEFT) + self._in_work_unknown
        if not self.rows_per_second or (waiting and not self._shards_known):
            return None
        mean = self._rows_known / self._shards_known if waiting else 0.0
        return round((self._rows_in_work + waiting * mean) / self.rows_per_second, 1)

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "outputs": self.outputs,
            "states": dict(self.states),
            "through": self.through,
            "counts": dict(self.counts),
            "usage": dict(self.usage),
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second, 3),
            "seconds_left": self.seconds_left,
            "processes": len(self.processes),
            "hosts": sorted(self.hosts),
        }
