"""Where the rows of shards ended."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Counts:
    """Where the rows of one shard, or of several, ended."""

    rows: int = 0
    done: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    pending: int = 0
    written: int = 0
    blank: int = 0

    def add(self, other: "Counts") -> None:
        """Add another shard's counts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def check(self) -> None:
        """Each row ended in exactly one place."""
        ended = self.ended()["rows"]
        if ended != self.rows:
            raise AssertionError(f"{self.rows} rows went in, {ended} are accounted for")

    def ended(self) -> dict[str, int]:
        """How many ended where, so far."""
        ends = {
            "done": self.done,
            "dropped": self.dropped.total(),
            "rejected": self.rejected,
            "pending": self.pending,
        }
        return {"rows": sum(ends.values()), "written": self.written, **ends}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"dropped": dict(sorted(self.dropped.items()))}
