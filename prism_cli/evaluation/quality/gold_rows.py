"""People's marks by query and document, on disk: answers, rationales, answerability."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from prism_cli.errors import MissingDataError, RowError
from prism_cli.rows.ids import id_text
from prism_cli.rows.row import Row, RowRef, json_type, string_field, text_id
from prism_cli.shards.reader import find_shards, read_shards
from prism_cli.shards.spill import Spill

_SHAPE = (
    '{"query_id", "doc_id" (optional), "answers": [...], "rationales": [...], "answerable": true}'
)


@dataclass(frozen=True, slots=True)
class Gold:
    """People's marks of one pair.

    Attributes:
        answerable: whether this document answers the query; None if unknown. True comes from a row
            with this doc_id; False may come from a row for all documents of the query.
        answers, rationales: empty if `answerable` is False.
        answers_here, rationales_here: whether they are of this document, not only of its query.
        rows: numbers of the gold rows behind it, from 1.
    """

    answerable: bool | None
    answers: tuple[str, ...] = ()
    rationales: tuple[str, ...] = ()
    answers_here: bool = False
    rationales_here: bool = False
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryGold:
    """People's marks of one query, over all its documents.

    Attributes:
        answerable: False where every document with marks is said not to answer it.
        answers: of all documents; empty if `answerable` is False.
    """

    answerable: bool
    answers: tuple[str, ...] = ()


@dataclass
class GoldFigures:
    """Counts of the gold files.

    Attributes:
        rows: rows read, including `repeated` and `contradictory`.
        repeated: rows beyond the first of their query and document; they are merged.
        contradictory: rows of pairs that are marked both answerable and not; they are ignored.
            `contradiction` names the first such pairs.
        unreadable: lines that are not gold; `unread` is location and reason of the first.
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
    """Gold from JSONL files; memory does not grow with them.

    A row with a doc_id applies to that pair. It takes precedence over a row without one, which
    applies to every document of its query.

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
        """Return the marks of the pair; None without any."""
        pair, general = _MergedGold(), _MergedGold()
        for number, doc, answerable, marks in self._spill.rows(
            "SELECT rowid, doc, answerable, marks FROM spill WHERE query = ? AND doc IN (?, '') "
            "ORDER BY rowid",
            (query_id, doc_id),
        ):
            (pair if doc else general).add(number, answerable, orjson.loads(marks))
        sources = [gold for gold in (pair, general) if gold.rows and not gold.contradicts]
        if not sources:
            return None
        rows = tuple(number for gold in sources for number in gold.rows)
        decisive = next((gold for gold in sources if gold.answerable is not None), sources[0])
        if decisive.answerable is False:
            return Gold(False, rows=rows)
        answers, rationales = (
            next((gold for gold in sources if gold.marks[kind]), sources[0]) for kind in (0, 1)
        )
        return Gold(
            True if pair.answerable and decisive is pair else None,
            tuple(answers.marks[0]),
            tuple(rationales.marks[1]),
            answers is pair,
            rationales is pair,
            rows,
        )

    def of_query(self, query_id: str) -> QueryGold | None:
        """Return the marks of a query, without those of contradictory pairs; None without any."""
        by_document: dict[str, _MergedGold] = {}
        for number, doc, answerable, marks in self._spill.rows(
            "SELECT rowid, doc, answerable, marks FROM spill WHERE query = ? ORDER BY rowid",
            (query_id,),
        ):
            merged = by_document.setdefault(doc, _MergedGold())
            merged.add(number, answerable, orjson.loads(marks))
        sources = [gold for gold in by_document.values() if not gold.contradicts]
        if not sources:
            return None
        answers = dict.fromkeys(answer for gold in sources for answer in gold.marks[0])
        return QueryGold(any(gold.answerable for gold in sources), tuple(answers))

    def no_match(self, query_id: str, doc_id: str) -> MissingDataError:
        """Return the error for rows of which none is marked.

        Args:
            query_id, doc_id: of the first row.
        """
        theirs = self.figures.example
        return MissingDataError(
            f"--gold: none of its {self.figures.rows:,} rows speaks of these rows: it is "
            f"matched on query_id and, where given, doc_id; its first row has query_id "
            f"{theirs[0]!r}, doc_id {theirs[1] or None!r}; the first row measured has query_id "
            f"{query_id!r}, doc_id {doc_id!r} (--field query_id=NAME where it is called otherwise)"
        )

    def _entries(self, files: Sequence[str]) -> Iterator[Sequence[Any]]:
        figures = self.figures
        shards = [replace(shard, strict=False) for shard in find_shards(files)]
        for ref, row in read_shards(shards, on_reject=lambda bad: self._note(bad.ref, bad.reason)):
            try:
                query, doc, answerable, marks = _read(row)
            except RowError as error:
                self._note(ref, str(error))
                continue
            figures.example = figures.example if figures.rows else (query, doc)
            figures.rows += 1
            yield query, doc, answerable, orjson.dumps(marks)

    def _note(self, ref: RowRef, reason: str) -> None:
        self.figures.unreadable += 1
        self.figures.unread = self.figures.unread or f"{ref}: {reason}"


class _MergedGold:
    """Gold rows of one query and document, merged."""

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
        for merged, texts in zip(self.marks, marks, strict=True):
            merged |= dict.fromkeys(texts)


def _read(row: Row) -> tuple[str, str, bool | None, tuple[list[str], list[str]]]:
    """Return query_id, doc_id or "", answerable, and (answers, rationales).

    Raises:
        RowError: it is not a gold row; names the field.
    """
    row = row | {name: id_text(row[name], name) for name in ("_id", "paragraph") if name in row}
    name = "_id" if row.get("query_id") is None and "_id" in row else "query_id"
    query = string_field(row, name, required="query" not in row)
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
    texts = row.get(name)
    if texts is None:
        return []
    if not isinstance(texts, list):
        raise RowError(name, f"expected an array of strings, found {json_type(texts)}")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise RowError(f"{name}[{index}]", f"expected a string, found {json_type(text)}")
    return [text for text in texts if text.strip()]
