"""Counts of a run: rows by outcome, and usage of models."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from prism_cli.ports import Reply


@dataclass
class Counts:
    """Rows of one or several shards, by outcome."""

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
        """Raise AssertionError unless each row has exactly one outcome."""
        ended = self.ended()["rows"]
        if ended != self.rows:
            raise AssertionError(f"{self.rows} rows went in, {ended} are accounted for")

    def ended(self) -> dict[str, int]:
        """Return the rows so far, by outcome."""
        ends = {
            "done": self.done,
            "dropped": self.dropped.total(),
            "rejected": self.rejected,
            "pending": self.pending,
        }
        return {"rows": sum(ends.values()), "written": self.written, **ends}

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"dropped": dict(sorted(self.dropped.items()))}


@dataclass
class UsageTotals:
    """Replies, tokens and cost of a run.

    Attributes:
        asked: new replies.
        local: number of them from models of this process.
        lost_calls: calls of this run that ended without a reply and may have been billed.
        from_ledger: cached replies.
        shared: requests equal to another one of the run.
    """

    asked: int = 0
    local: int = 0
    lost_calls: int = 0
    from_ledger: int = 0
    shared: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def count(self, reply: Reply) -> None:
        """Add one new reply."""
        self.asked += 1
        self.input_tokens += reply.usage.input_tokens
        self.output_tokens += reply.usage.output_tokens
        self.usd += reply.usage.usd

    def add(self, other: "UsageTotals") -> None:
        """Add another output's totals."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
