"""A row is one JSON object on one line: what moves through every stage.

Fields that prism does not know travel untouched and keep their order, so a row stays a plain dict
and the functions here read it. The field names are those of `prism help rows`.
"""

from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import orjson

from prism_cli.errors import RowError
from prism_cli.rows.fields import absent, by_column
from prism_cli.rows.texts import BLANK_TEXT, is_blank, nul_fault, titled

Row = dict[str, Any]

MAX_QUERY_DOCUMENTS = 10_000
"""Of one query, whose texts are held against their ids."""
_TEXTS = {
    "query": True, "document": True, "title": False, "query_id": False, "doc_id": False,
    "original_query": False,
}  # fmt: skip
"""Of a pair row, and whether each must be there."""


@dataclass(frozen=True, slots=True)
class RowRef:
    """Where a row stands: the file as given ("-" for standard input) and its line, from 1; 0 for a
    file that is one row."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line set aside: written to OUT.rejects.jsonl as file, line, field, reason, raw."""

    ref: RowRef
    field: str
    reason: str
    raw: bytes

    @property
    def line(self) -> bytes:
        """The line of the rejects file."""
        record = {
            "file": self.ref.file,
            "line": self.ref.line or None,
            "field": self.field,
            "reason": self.reason,
            "raw": self.raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace"),
        }
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that a rule of the stage leaves out; counted under its reason."""

    reason: str


def string_field(row: Row, name: str, *, required: bool = True, blank: bool = True) -> str:
    """The string in `row[name]`; "" where it is absent or null and not required.

    Raises:
        RowError: absent though required, another type, one that holds NUL, or blank though `blank`
            is False.
    """
    value = row.get(name)
    if value is None:
        if required:
            found = "null" if name in row else absent(name, row)
            raise RowError(name, f"expected a string, found {found}")
        return ""
    if not isinstance(value, str):
        raise RowError(name, f"expected a string, found {json_type(value)}{by_column(row)}")
    if not blank and is_blank(value):
        raise RowError(name, BLANK_TEXT)
    if "\0" in value:
        raise RowError(name, nul_fault(value))
    return value


def number_field(row: Row, name: str, low: float, high: float) -> float | None:
    """The number in `row[name]`, in [low, high]; None where it is absent or null.

    Raises:
        RowError: another type, or out of range.
    """
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError(name, f"expected a number, found {json_type(value)}")
    if not low <= value <= high:
        raise RowError(name, f"expected a number in [{low:g}, {high:g}], found {value:g}")
    return float(value)


def scores_field(row: Row, name: str) -> dict[str, float | None]:
    """The numbers in [0, 1] in `row[name]`, by who gave them; {} where it is absent or null.

    Raises:
        RowError: no object, or a value that is neither such a number nor null; names it, such as
            `teacher_scores.st:minilm`.
    """
    scores = row.get(name)
    if scores is None:
        return {}
    if not isinstance(scores, dict):
        raise RowError(name, f"expected an object, found {json_type(scores)}")
    for inner in scores:
        try:
            number_field(scores, inner, 0, 1)
        except RowError as error:
            raise RowError(f"{name}.{inner}", error.reason) from None
    return scores


def votes_field(row: Row) -> dict[str, str | None]:
    """What `votes` holds, by judge: "yes", "no" or null; {} where it is absent or null.

    Raises:
        RowError: no object, or another value; names it, such as `votes.source`.
    """
    votes = row.get("votes")
    if votes is None:
        return {}
    if not isinstance(votes, dict):
        raise RowError("votes", f"expected an object, found {json_type(votes)}")
    for judge, vote in votes.items():
        if vote not in ("yes", "no", None):
            raise RowError(f"votes.{judge}", f'expected "yes" or "no", found {json_type(vote)}')
    return votes


def check_pair(row: Row) -> None:
    """Hold `row` against the contract of a pair row: query, document, optional title and ids, and
    what it is said to be: verdict and teacher_score.

    Raises:
        RowError: the first field that breaks it.
    """
    for name, required in _TEXTS.items():
        value = row.get(name)
        if (type(value) is not str or "\0" in value) and (required or value is not None):
            string_field(row, name)  # one look at all texts costs less than a call for each
    if is_blank(row["query"]):
        raise RowError("query", BLANK_TEXT)
    if "verdict" in row and row["verdict"] not in ("yes", "no", None):
        raise RowError(
            "verdict", f'expected "yes", "no" or null, found {json_type(row["verdict"])}'
        )
    if "teacher_score" in row:
        number_field(row, "teacher_score", 0, 1)


def document_text(row: Row) -> str:
    """What a model reads as the document: title + " " + document where there is a title."""
    return titled(row.get("title"), row["document"])


def original_query(row: Row) -> str:
    """The query before rewriting."""
    original = row.get("original_query")
    query: str = original if original and not is_blank(original) else row["query"]
    return query


def query_id(row: Row) -> str:
    """The row's query_id, else 16 hex digits of SHA-256 of the query before rewriting."""
    return row.get("query_id") or text_id(original_query(row))


def doc_id(row: Row) -> str:
    """The row's doc_id, else 16 hex digits of SHA-256 of title + space + document."""
    return row.get("doc_id") or text_id(document_text(row))


class OneText:
    """Remembers the text of each doc_id among the documents of one query."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def check(self, doc_id: str, text: str, field: str = "doc_id") -> None:
        """Note a document.

        Raises:
            RowError: names `field`; the id stood with another text before.
        """
        seen = hash(text)  # 8 bytes of it; texts stay where they are
        if self._texts.setdefault(doc_id, seen) != seen:
            raise RowError(
                field,
                f"{doc_id[:60]!r} stood with another text before, for the same query; one id, one "
                "document",
            )
        if len(self._texts) > MAX_QUERY_DOCUMENTS:
            self._texts.clear()


def check_one_text(pairs: list[Row]) -> None:
    """Hold the pairs of one query against one doc_id, one text.

    Raises:
        RowError: a doc_id stands with two texts.
    """
    texts = OneText()
    for one in pairs if len(pairs) > 1 else ():
        if one.get("doc_id"):
            texts.check(str(one["doc_id"]), f"{one.get('title') or ''} {one.get('document')}")


def query_key(row: Row) -> bytes:
    """16 bytes for (query_id, query): the original and the rewritten query stand apart."""
    text = f"{query_id(row)}\0{row['query']}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def text_id(text: str) -> str:
    """16 hex digits of the SHA-256 of the text's UTF-8 bytes."""
    return sha256(text.encode()).hexdigest()[:16]


def texts_digest(*texts: str) -> bytes:
    """SHA-256 over the texts, each preceded by its length, so that ("ab", "c") and ("a", "bc")
    differ."""
    pieces: list[bytes] = []
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        pieces += (len(raw).to_bytes(8, "big"), raw)
    return sha256(b"".join(pieces)).digest()


def json_type(value: object) -> str:
    """The JSON name of a decoded value, with the value itself where it is short."""
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (int, "number"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return f"{name} {str(value)[:40]!r}" if kind is str else f"{name} {value}".lower()
    return "array" if isinstance(value, list) else "object"
