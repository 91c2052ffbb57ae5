"""What rows of earlier outputs hold that was paid for, by pair of query and document, on disk."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from prism_cli.rows.row import Row, document_text, texts_digest
from prism_cli.rows.texts import is_blank
from prism_cli.shards.spill import Spill

MAPS = ("votes", "vote_probabilities", "teacher_scores")
"""Fields that hold a value a judge or teacher."""
WHOLES = (("verdict", "votes"), ("teacher_score", "teacher_scores"))
"""Fields that stand for all judges or teachers, and where these are named, if they are."""
TEXTS = ("contribution", "evidence")


@dataclass(frozen=True, slots=True)
class PaidValue:
    """A value, and the file that it comes from."""

    value: Any
    origin: str


class PaidRows:
    """Votes, probabilities, scores and texts of other files' rows; and verdicts and scores that
    name no judge and no teacher, as those of the paper's author do not.

    Args:
        rows: (file, row); of two values for one thing the first counts.
    """

    def __init__(self, rows: Iterable[tuple[str, Row]]) -> None:
        self._spill = Spill("key BLOB, field TEXT, name TEXT, value BLOB, origin TEXT")
        self._spill.fill("INSERT INTO spill VALUES (?, ?, ?, ?, ?)", _entries(rows))
        self._spill.index("key")

    def find(self, query: str, text: str) -> dict[tuple[str, str], PaidValue]:
        """(field, name) -> value, for one pair; the name of texts is the generator's. It is "" for
        what names nobody."""
        found: dict[tuple[str, str], PaidValue] = {}
        for field, name, value, origin in self._spill.rows(
            "SELECT field, name, value, origin FROM spill WHERE key = ? ORDER BY rowid",
            (texts_digest(query, text),),
        ):
            found.setdefault((field, name), PaidValue(orjson.loads(value), origin))
        return found


def note_origins(row: Row, origins: Mapping[str, str]) -> None:
    """Say in the row's `reused` where values come from, beside what it says already.

    Args:
        origins: such as "votes.JUDGE" -> file.
    """
    before = row.get("reused")
    known = {**(before if isinstance(before, dict) else {}), **origins}
    if known:
        row["reused"] = known


def _entries(rows: Iterable[tuple[str, Row]]) -> Iterator[Sequence[Any]]:
    for origin, row in rows:
        key = texts_digest(row["query"], document_text(row))
        for field in MAPS:
            values = row.get(field)
            for name, value in values.items() if isinstance(values, dict) else ():
                if _is_paid(field, value):
                    yield key, field, name, orjson.dumps(value), origin
        for field, named in WHOLES:
            value = row.get(field)
            if not row.get(named) and _is_paid(field, value):
                yield key, field, "", orjson.dumps(value), origin
        texts = [row.get(name) for name in TEXTS]
        if all(isinstance(text, str) and not is_blank(text) for text in texts):
            yield key, "texts", row.get("generator") or "", orjson.dumps(texts), origin


def _is_paid(field: str, value: Any) -> bool:
    if field in ("votes", "verdict"):
        return value in ("yes", "no")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= 1
