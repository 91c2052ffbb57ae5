"""What people marked, by query and document, on disk: answers, rationales, whether there is one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from prism_cli.errors import RowError
from prism_cli.rows.ids import id_text
from prism_cli.rows.row import Row, RowRef, json_type, string_field, text_id
from prism_cli.shards.reader import find_shards, read_shards
from prism_cli.shards.spill import Spill

_SHAPE = (
    '{"query_id", "doc_id" (optional), "answers": [...], "rationales": [...], "answerable": true}'
)


@dataclass(frozen=True, slots=True)
class Gold:
    """What is known of one pair.

    Attributes:
        answerable: whether this document answers the query; None where nobody says. A yes must name
            the document; a no may speak of all documents of the query.
        answers, rationales: none where `answerable` is False.
        answers_here, rationales_here: said of this very document, not of its query alone.
        rows: numbers of the gold rows behind it, from 1.
    """

    answerable: bool | None
    answers: tuple[str, ...] = ()
    rationales: tuple[str, ...] = ()
    answers_here: bool = False
    rationales_here: bool = False
    rows: tuple[int, ...] = ()


@dataclass
class GoldFigures:
    """What the gold files held.

    Attributes:
        rows: that were read; those of `repeated` and `contradictory` are among them.
        repeated: beyond the first of their query and document; what they say is put together.
        contradictory: say of one pair that it is answerable and that it is not; they are left out.
            `contradiction` names the first such pairs.
        unreadable: lines that are no gold; `unread` is place and reason of the first.
        example: query_id and doc_id of the first row.
    """

    rows: int = 0
    repeated: int = 0
    contradictory: int = 0
    contradiction: str = ""
    unreadable: int = 0
    unread: str = ""
    example: tuple[str, str] = ("", "")


class GoldRows:
    """Gold of JSONL files; memory does not grow with them.

    A row with a doc_id speaks of that pair, and goes before one without, which speaks of every
    document of its query.

    Args:
        files: as for `find_shards`.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.figures = GoldFigures()
        self._spill = Spill("query TEXT, doc TEXT, answerable INTEGER, marks BLOB")
        self._spill.fill("INSERT INTO spill VALUES (?, ?, ?, ?)", self._entries(files))
        self._spill.index("query, doc")
        ((self.figures.repeated, self.figures.contradictory),) = self._spill.rows(
            "SELECT COALESCE(SUM(n) - COUNT(*), 0), COALESCE(SUM(n * (low < high)), 0) FROM "
            "(SELECT COUNT(*) n, MIN(answerable) low, MAX(answerable) high "
            "FROM spill GROUP BY query, doc)"
        )

        self.figures.contradiction = ", ".join(
            f"{query} {doc}".strip()
            for query, doc in self._spill.rows(
                "SELECT query, doc FROM spill GROUP BY query, doc "
                "HAVING MIN(answerable) < MAX(answerable) ORDER BY MIN(rowid) LIMIT 3"
            )
        )

    def find(self, query_id: str, doc_id: str) -> Gold | None:
        """What is known of the pair; None where nothing is."""
        own, general = _MergedGold(), _MergedGold()
        for number, doc, answerable, marks in self._spill.rows(
            "SELECT rowid, doc, answerable, marks FROM spill WHERE query = ? AND doc IN (?, '') "
            "ORDER BY rowid",
            (query_id, doc_id),
        ):
            (own if doc else general).add(number, answerable, orjson.loads(marks))
        told = [one for one in (own, general) if one.rows and not one.contradicts]
        if not told:
            return None
        rows = tuple(number for one in told for number in one.rows)
        says = next((one for one in told if one.answerable is not None), told[0])
        if says.answerable is False:
            return Gold(False, rows=rows)
        answers, rationales = (
            next((one for one in told if one.marks[place]), told[0]) for place in (0, 1)
        )
        return Gold(
            True if own.answerable and says is own else None,
            tuple(answers.marks[0]),
            tuple(rationales.marks[1]),
            answers is own,
            rationales is own,
            rows,
        )

    def _entries(self, files: Sequence[str]) -> Iterator[Sequence[Any]]:
        figures = self.figures
        shards = [replace(shard, strict=False) for shard in find_shards(files)]
        for place, row in read_shards(
            shards, on_reject=lambda bad: self._note(bad.ref, bad.reason)
        ):
            try:
                query, doc, answerable, marks = _read(row)
            except RowError as error:
                self._note(place, str(error))
                continue
            figures.example = figures.example if figures.rows else (query, doc)
            figures.rows += 1
            yield query, doc, answerable, orjson.dumps(marks)

    def _note(self, place: RowRef, reason: str) -> None:
        self.figures.unreadable += 1
        self.figures.unread = self.figures.unread or f"{place}: {reason}"


class _MergedGold:
    """Gold rows of one query and document, put together."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.answerable: bool | None = None
        self.contradicts = False
        self.marks: tuple[dict[str, None], dict[str, None]] = ({}, {})

    def add(self, number: int, answerable: int | None, marks: Iterable[Sequence[str]]) -> None:
        self.rows.append(number)
        if answerable is not None:
            self.contradicts |= self.answerable is not None and self.answerable != answerable
            self.answerable = bool(answerable)
        for known, more in zip(self.marks, marks, strict=True):
            known |= dict.fromkeys(more)


def _read(row: Row) -> tuple[str, str, bool | None, tuple[list[str], list[str]]]:
    """query_id, doc_id or "", answerable, (answers, rationales).

    Raises:
        RowError: it is no gold row; names the field.
    """
    row = row | {name: id_text(row[name], name) for name in ("_id", "paragraph") if name in row}
    query = string_field(
        row, "query_id" if "_id" not in row else "_id", required="query" not in row
    )
    query = query or text_id(string_field(row, "query"))
    answers, rationales = _texts(row, "answers"), _texts(row, "rationales")
    answerable = row.get("answerable")
    if not isinstance(answerable, bool | None):
        raise RowError("answerable", f"expected true or false, found {json_type(answerable)}")
    doc = string_field(row, "doc_id", required=False)
    if not doc and "paragraph" in row:  # a question that this paragraph does not answer
        doc, answerable = string_field(row, "paragraph"), False
    if answerable is False:
        answers, rationales = [], []
    elif answers or rationales:
        answerable = True
    if answerable is None:
        raise RowError(
            "answers", f"neither answers nor rationales nor answerable; expected {_SHAPE}"
        )
    return query, doc, answerable, (answers, rationales)


def _texts(row: Row, name: str) -> list[str]:
    found = row.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise RowError(name, f"expected an array of strings, found {json_type(found)}")
    for place, one in enumerate(found):
        if not isinstance(one, str):
            raise RowError(f"{name}[{place}]", f"expected a string, found {json_type(one)}")
    return [one for one in found if one.strip()]
