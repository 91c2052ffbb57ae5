"""Pair rows of one query that stand together."""

from collections.abc import Iterator

from prism_cli.rows.row import Row, query_key

MAX_GROUP_ROWS = 10_000
"""What is held at a time; a query with more rows comes in several groups."""


def adjacent(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """The rows in groups of one query, in order."""
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
