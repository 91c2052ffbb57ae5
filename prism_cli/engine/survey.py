"""Interface of what must be known of all shards before the work on any."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from prism_cli.rows.row import Row


class LocatedRow(NamedTuple):
    """A row, its file as the user named it, and its line number from 1."""

    file: str
    line: int
    row: Row


class Survey(Protocol):
    """Map, merge and broadcast over the rows of all shards.

    The result must not depend on how the rows are divided into parts: a large shard is read in
    several.
    """

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        """Return the part of some adjacent rows of one shard: small, and a function of these rows.

        A survey that has seen enough of the shard may leave rows unread: then the rest of the shard
        is not read.
        """

    def merge(self, parts: Sequence[bytes]) -> bytes:
        """Return the result that every worker receives.

        Args:
            parts: in the order of the rows; those of shards without rows are absent. They are on
                disk: each access reads one.

        Raises:
            PrismError: the run cannot begin.
        """
