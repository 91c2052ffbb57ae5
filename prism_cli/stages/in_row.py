"""Teachers and generators that read their answer from the row itself."""

from typing import Protocol, runtime_checkable

from prism_cli.ports import Value
from prism_cli.rows.row import Row


@runtime_checkable
class RowTeacher(Protocol):
    """A teacher that reads its score from the row."""

    @property
    def spec(self) -> str:
        """The name of its scores."""

    def score(self, row: Row) -> float:
        """Return the score in [0, 1]. Raises RowError where the row has none."""


@runtime_checkable
class RowGenerator(Protocol):
    """A generator that reads its texts from the row."""

    @property
    def spec(self) -> str:
        """The name of its texts."""

    def texts(self, row: Row) -> Value:
        """Return contribution and evidence, "" where the row has none. Raises RowError for a wrong
        type."""
