"""Pair rows of one query that stand together."""

from collections import Counter
from collections.abc import Iterator

from prism_cli.rows.row import Row, document_text, query_key

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


def once(rows: Iterator[Row], figures: Counter[str]) -> Iterator[Row]:
    """The rows without those whose text and label came before in their group; they are counted."""
    for group in adjacent(rows):
        seen: set[tuple[str, object]] = set()
        for row in group:
            key = (document_text(row), row.get("source_label"))
            if key in seen:
                figures["pairs that came before"] += 1
            else:
                seen.add(key)
                yield row
