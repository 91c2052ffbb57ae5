"""Groups of adjacent pair rows of one query."""

from collections.abc import Iterator

from prism_cli.rows.row import Row, query_key

MAX_GROUP_ROWS = 10_000
"""Most rows in memory; a query with more rows is split into several groups."""


def adjacent(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows in groups of one query, in order."""
    group: list[Row] = []
    current = b""
    for row in rows:
        key = query_key(row)
        if group and (key != current or len(group) >= MAX_GROUP_ROWS):
            yield group
            group = []
        group.append(row)
        current = key
    if group:
        yield group
