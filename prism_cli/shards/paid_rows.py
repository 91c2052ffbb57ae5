"""Lookup of votes, scores and texts of earlier outputs by query and document, for --reuse."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from prism_cli.rows.number import is_score
from prism_cli.rows.row import Row, document_text, texts_digest
from prism_cli.rows.texts import is_blank
from prism_cli.shards.spill import Spill

MAPS = ("votes", "vote_probabilities", "teacher_scores")
"""Fields that hold a value per judge or teacher."""
AGGREGATES = (("verdict", "votes"), ("teacher_score", "teacher_scores"))
"""Aggregates of judges or teachers, each with the field of its single values."""
TEXTS = ("contribution", "evidence")


@dataclass(frozen=True, slots=True)
class PaidValue:
    """A value and the file that holds it."""

    value: Any
    origin: str


class PaidRows:
    """Votes, probabilities, scores and texts of rows, and verdicts and scores without a judge or
    teacher's name, as in the data of the paper.

    Args:
        rows: (file, row) pairs; of two values for the same key the first counts.
    """

    def __init__(self, rows: Iterable[tuple[str, Row]]) -> None:
        self._spill = Spill("key BLOB, field TEXT, name TEXT, value BLOB, origin TEXT")
        self._spill.fill("INSERT INTO spill VALUES (?, ?, ?, ?, ?)", _entries(rows))
        self._spill.index("key")

    def find(self, query: str, text: str) -> dict[tuple[str, str], PaidValue]:
        """Return the values of one pair by (field, name).

        The name is that of the judge, teacher or generator; "" if the row has none.
        """
        values: dict[tuple[str, str], PaidValue] = {}
        for field, name, value, origin in self._spill.rows(
            "SELECT field, name, value, origin FROM spill WHERE key = ? ORDER BY rowid",
            (texts_digest(query, text),),
        ):
            values.setdefault((field, name), PaidValue(orjson.loads(value), origin))
        return values


def note_origins(row: Row, origins: Mapping[str, str]) -> None:
    """Add the origins of values to the row's `reused`.

    Args:
        origins: value -> file, such as "votes.JUDGE" -> file.
    """
    before = row.get("reused")
    merged = {**(before if isinstance(before, dict) else {}), **origins}
    if merged:
        row["reused"] = merged


def _entries(rows: Iterable[tuple[str, Row]]) -> Iterator[Sequence[Any]]:
    for origin, row in rows:
        key = texts_digest(row["query"], document_text(row))
        for field in MAPS:
            values = row.get(field)
            for name, value in values.items() if isinstance(values, dict) else ():
                if _is_paid(field, value):
                    yield key, field, name, orjson.dumps(value), origin
        for field, named in AGGREGATES:
            value = row.get(field)
            if not row.get(named) and _is_paid(field, value):
                yield key, field, "", orjson.dumps(value), origin
        texts = [row.get(name) for name in TEXTS]
        if all(isinstance(text, str) and not is_blank(text) for text in texts):
            yield key, "texts", row.get("generator") or "", orjson.dumps(texts), origin


def _is_paid(field: str, value: Any) -> bool:
    if field in ("votes", "verdict"):
        return value in ("yes", "no")
    return is_score(value)
