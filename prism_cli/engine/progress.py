"""How far a run is, in rows, questions, cost and time left."""

import time
from typing import Any, NamedTuple


class QuestionCounts(NamedTuple):
    """What rows that ask several things each have asked, such as about each document of a query.

    Attributes:
        total: None where more rows come.
        found: answered without asking.
    """

    answered: int
    total: int | None
    found: int


class Progress:
    """Counts rows of one shard; what is shown is up to the subclass.

    Args:
        label: what is worked on.
        total: rows expected; None where unknown.

    Attributes:
        rows: that are through; of those at work the part that is done.
        found: of these, what earlier attempts did: the pace is that of the others.
        questions: where there are more than rows.
        nouns: what rows, then, and questions are called.
    """

    def __init__(self, label: str, total: int | None) -> None:
        self.label = label
        self.total = total
        self.rows = 0.0
        self.found = 0.0
        self.questions: QuestionCounts | None = None
        self.nouns = ("rows", "questions")
        self.usd = 0.0
        self.started = time.monotonic()

    def advance(self, rows: int, usd: float) -> None:
        """`rows` more are through; `usd` spent so far."""
        self.show(self.rows + rows, usd)

    def skip(self, rows: int) -> None:
        """`rows` more are through since earlier attempts."""
        self.restart()
        self.show(self.rows + rows, self.usd, found=self.found + rows)

    def restart(self) -> None:
        """The pace is that from now on."""
        self.started = time.monotonic()

    def show(
        self,
        rows: float,
        usd: float,
        *,
        found: float | None = None,
        questions: QuestionCounts | None = None,
    ) -> None:
        """So many are through; in whatever thread."""
        self.found = self.found if found is None else found
        self.rows = rows
        self.usd = usd
        self.questions = questions
        self._changed()

    def _changed(self) -> None:
        """Show the new state; nothing by default."""

    def live(self) -> dict[str, Any]:
        """For a record that another terminal reads."""
        through = int(self.rows)
        moved = {"moved": self.rows, "found": self.found}
        return {"label": self.label, "total": self.total, "through": through, **moved}

    @property
    def line(self) -> str:
        """The state in plain words."""
        return f"{self.label}: {self.words}"

    @property
    def words(self) -> str:
        """The same without its label."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        new = self.rows - self.found
        rows, asked = self.nouns if self.questions else ("rows", "")
        told = [f"{_of(int(self.rows), self.total)} {rows}"]
        if self.questions:
            told.append(f"{_of(self.questions.answered, self.questions.total)} {asked}")
            told.append(f"{(self.questions.answered - self.questions.found) / seconds:,.1f}/s")
        else:
            told.append(f"{new / seconds:,.1f} rows/s")
        if self.usd:
            told.append(f"{self.usd:.4f} USD")
        if self.total and new > 0:
            told.append(f"{max(0, self.total - self.rows) / new * seconds / 60:.1f} min left")
        return ", ".join(told)


def _of(count: int, total: int | None) -> str:
    return f"{count:,} of {total:,}" if total else f"{count:,}"
