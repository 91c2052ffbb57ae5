"""Teachers and generators that find their answer in the row itself."""

from typing import Protocol, runtime_checkable

from prism_cli.ports import Value
from prism_cli.rows.row import Row


@runtime_checkable
class RowTeacher(Protocol):
    """A teacher that finds its score in the row."""

    @property
    def spec(self) -> str:
        """Names its scores."""

    def score(self, row: Row) -> float:
        """In [0, 1]. Raises RowError where the row tells none."""


@runtime_checkable
class RowGenerator(Protocol):
    """A generator that finds its texts in the row."""

    @property
    def spec(self) -> str:
        """Names its texts."""

    def texts(self, row: Row) -> Value:
        """Contribution and evidence, "" where the row has none. Raises RowError for a type."""
