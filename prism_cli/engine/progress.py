"""Progress of a run in rows, questions, cost and time left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from prism_cli.wording import duration, rate


class QuestionCounts(NamedTuple):
    """Questions of rows that ask several each, such as one about each document of a query.

    Attributes:
        total: None while more rows come.
        found: answered from the cache.
    """

    answered: int
    total: int | None
    found: int


class Progress:
    """Counts the rows of one shard; subclasses show the counts.

    Args:
        label: name of the work.
        total: rows expected; None if unknown.
        unit: name of what is counted, if not rows.

    Attributes:
        rows: rows that have ended, plus the finished fractions of those in progress.
        cached: the part of `rows` that was cached; the rate is that of the others.
        questions: set if there are more questions than rows.
        nouns: names of rows and questions if `questions` is set.
    """

    def __init__(self, label: str, total: int | None, unit: str = "rows") -> None:
        self.label = label
        self.total = total
        self.rows = 0.0
        self.cached = 0.0
        self.questions: QuestionCounts | None = None
        self.nouns = ("rows", "questions")
        self.unit = unit
        self.usd = 0.0
        self.started = time.monotonic()

    def advance(self, rows: int, usd: float) -> None:
        """Add `rows` that have ended; `usd` is the cost so far."""
        self.show(self.rows + rows, usd)

    def skip(self, rows: int) -> None:
        """Add `rows` that earlier attempts did."""
        self.restart()
        self.show(self.rows + rows, self.usd, cached=self.cached + rows)

    @contextmanager
    def part(self, label: str, total: int) -> Iterator[None]:
        """Count the rows of a part of the work during the block, before all rows from 0."""
        before = self.label, self.total
        self.label, self.total = f"{self.label}, {label}", total
        self.restart()
        try:
            yield
        finally:
            self.label, self.total = before
            self.restart()
            self.show(0.0, self.usd, cached=0.0)

    def restart(self) -> None:
        """Compute the rate from now on."""
        self.started = time.monotonic()

    def show(
        self,
        rows: float,
        usd: float,
        *,
        cached: float | None = None,
        questions: QuestionCounts | None = None,
    ) -> None:
        """Set the counts. May be called by any thread."""
        self.cached = self.cached if cached is None else cached
        self.rows = rows
        self.usd = usd
        self.questions = questions
        self._changed()

    def _changed(self) -> None:
        """Show the new counts; does nothing by default."""

    def snapshot(self) -> dict[str, Any]:
        """Return the entries of a heartbeat."""
        return {
            "label": self.label,
            "total": self.total,
            "through": int(self.rows),
            "moved": self.rows,
            "found": self.cached,
        }

    @property
    def line(self) -> str:
        """The progress in words."""
        return f"{self.label}: {self.words}"

    @property
    def words(self) -> str:
        """The progress in words, without the label."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        new = self.rows - self.cached
        rows, asked = self.nouns if self.questions else (self.unit, "")
        parts = [f"{_of(int(self.rows), self.total)} {rows}"]
        if self.questions:
            parts.append(f"{_of(self.questions.answered, self.questions.total)} {asked}")
            parts.append(f"{(self.questions.answered - self.questions.found) / seconds:,.1f}/s")
        else:
            parts.append(rate(new / seconds, rows))
        if self.usd:
            parts.append(f"{self.usd:.4f} USD")
        if self.total and new > 0:
            parts.append(f"{duration(max(0, self.total - self.rows) / new * seconds)} left")
        return ", ".join(parts)


def _of(count: int, total: int | None) -> str:
    return f"{count:,} of {total:,}" if total else f"{count:,}"
