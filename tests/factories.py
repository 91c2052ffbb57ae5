"""Valid rows by default; a test changes one field."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

Row = dict[str, Any]

DEEP: Any = orjson.loads(b"[" * 990 + b"]" * 990)
"""A list nested nearly as deeply as orjson reads, so deeply that `repr` fails."""


def make_pair(number: int = 0, **changed: Any) -> Row:
    """Return a pair row; `changed` fields replace or add, None removes."""
    row = {
        "query_id": f"q{number}",
        "query": f"what is item {number}",
        "doc_id": f"d{number}",
        "document": f"Item {number} is a thing of kind {number % 7}.",
        "note": {"kept": [number, None, 0.5], "text": "grüße, 世界"},
    }
    row |= changed
    return {name: value for name, value in row.items() if value is not None}


def make_pairs(count: int, **changed: Any) -> list[Row]:
    """Return `count` pair rows with numbers from 0."""
    return [make_pair(number, **changed) for number in range(count)]


def jsonl(rows: Iterable[Row]) -> bytes:
    """Encode rows as the engine does."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def write_jsonl(path: Path, rows: Iterable[Row]) -> Path:
    """Write rows to a file; return its path."""
    path.write_bytes(jsonl(rows))
    return path


def read_jsonl(path: Path) -> list[Row]:
    """Return the rows of a plain file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]
