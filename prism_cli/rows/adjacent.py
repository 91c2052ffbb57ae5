"""Groups of adjacent pair rows of one query."""

from collections.abc import Iterator
from itertools import groupby, islice

from prism_cli.rows.row import Row, query_key

MAX_GROUP_ROWS = 10_000
"""Most rows in memory; a query with more rows is split into several groups."""


def adjacent(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows in groups of one query, in order."""
    for _, group in groupby(rows, query_key):
        while part := list(islice(group, MAX_GROUP_ROWS)):
            yield part
