"""The row: one JSON object on one line, the unit of data of every stage.

Fields that prism does not know are kept unchanged and in order, so a row is a plain dict, read by
the functions here. `prism help rows` lists the field names.
"""

from dataclasses import dataclass
from hashlib import blake2b, sha256
from math import isfinite
from typing import Any

import orjson

from prism_cli.errors import RowError
from prism_cli.rows.fields import absent, by_column
from prism_cli.rows.texts import BLANK_TEXT, is_blank, nul_fault, titled

Row = dict[str, Any]

MAX_QUERY_DOCUMENTS = 10_000
"""Most documents of one query whose texts are compared with their ids."""
_TEXTS = {
    "query": True, "document": True, "title": False, "query_id": False, "doc_id": False,
    "original_query": False,
}  # fmt: skip
"""Text fields of a pair row -> whether each is required."""


@dataclass(frozen=True, slots=True)
class RowRef:
    """Place of a row: the file as given ("-" for standard input) and its line, from 1; 0 for a file
    that is one row."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected line, written to OUT.rejects.jsonl as file, line, field, reason, raw."""

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
    """A row that a rule of the stage drops; counted by its reason."""

    reason: str


def string_field(row: Row, name: str, *, required: bool = True, blank: bool = True) -> str:
    """Return the string in `row[name]`; "" where it is absent or null and not required.

    Raises:
        RowError: absent though required, another type, a string with NUL, or blank though `blank`
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
    """Return the finite number in `row[name]`, in [low, high]; None where it is absent or null.

    Raises:
        RowError: another type, not finite, or out of range.
    """
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError(name, f"expected a number, found {json_type(value)}")
    if not isfinite(value):
        raise RowError(name, f"expected a finite number, found {value}")
    if not low <= value <= high:
        raise RowError(name, f"expected a number in [{low:g}, {high:g}], found {value:g}")
    return float(value)


def scores_field(row: Row, name: str) -> dict[str, float | None]:
    """Return the numbers in [0, 1] in `row[name]`, by their origin; {} where it is absent or null.

    Raises:
        RowError: not an object, or a value that is neither such a number nor null; names it, such
            as `teacher_scores.st:minilm`.
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
    """Return `votes` by judge: "yes", "no" or null; {} where it is absent or null.

    Raises:
        RowError: not an object, or another value; names it, such as `votes.source`.
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


def asked_votes(row: Row) -> dict[str, str | None]:
    """Return the votes by judge, with None for a judge that was asked and abstained, as `abstained`
    of an audit row says.

    Raises:
        RowError: as `votes_field`; `abstained` is no list of texts.
    """
    silent = row.get("abstained") or []
    if not isinstance(silent, list) or not all(isinstance(judge, str) for judge in silent):
        raise RowError("abstained", f"expected a list of judges, found {json_type(silent)}")
    return dict.fromkeys(silent) | votes_field(row)


def verdict_field(row: Row, name: str = "verdict") -> str | None:
    """Return the verdict in `row[name]`; None where it is absent or null.

    Raises:
        RowError: another value than "yes", "no" and null.
    """
    verdict: str | None = row.get(name)
    if verdict not in ("yes", "no", None):
        raise RowError(name, f'expected "yes", "no" or null, found {json_type(verdict)}')
    return verdict


def check_pair(row: Row) -> None:
    """Check `row` against the contract of a pair row: query, document, optional title and ids,
    verdict and teacher_score.

    Raises:
        RowError: names the first invalid field.
    """
    for name, required in _TEXTS.items():
        value = row.get(name)
        if (type(value) is not str or "\0" in value) and (required or value is not None):
            string_field(row, name)  # slow path: only for a suspicious value
    if is_blank(row["query"]):
        raise RowError("query", BLANK_TEXT)
    if "verdict" in row:
        verdict_field(row)
    if "teacher_score" in row:
        number_field(row, "teacher_score", 0, 1)


def document_text(row: Row) -> str:
    """Return the document as a model reads it: title + " " + document if there is a title."""
    return titled(row.get("title"), row["document"])


def original_query(row: Row) -> str:
    """Return the query before rewriting."""
    original = row.get("original_query")
    query: str = original if original and not is_blank(original) else row["query"]
    return query


def query_id(row: Row) -> str:
    """Return the row's query_id, else 16 hex digits of SHA-256 of the query before rewriting."""
    return row.get("query_id") or text_id(original_query(row))


def doc_id(row: Row) -> str:
    """Return the row's doc_id, else 16 hex digits of SHA-256 of title + space + document."""
    return row.get("doc_id") or text_id(document_text(row))


class OneText:
    """Checks that each doc_id has one text among the documents of one query."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def check(self, doc_id: str, text: str, field: str = "doc_id") -> None:
        """Add a document.

        Raises:
            RowError: names `field`; the id had another text before.
        """
        seen = hash(text)  # 8 bytes, instead of the text
        if self._texts.setdefault(doc_id, seen) != seen:
            raise RowError(
                field,
                f"{doc_id[:60]!r} had another text before, for the same query; one id, one "
                "document",
            )
        if len(self._texts) > MAX_QUERY_DOCUMENTS:
            self._texts.clear()


def check_one_text(pairs: list[Row]) -> None:
    """Check that each doc_id has one text among the pairs of one query.

    Raises:
        RowError: a doc_id has two texts.
    """
    texts = OneText()
    for pair in pairs if len(pairs) > 1 else ():
        if pair.get("doc_id"):
            texts.check(str(pair["doc_id"]), f"{pair.get('title') or ''} {pair.get('document')}")


def query_key(row: Row) -> bytes:
    """Return 16 bytes for (query_id, query); the original and the rewritten query differ."""
    return text_key(f"{query_id(row)}\0{row['query']}")


def text_key(text: str) -> bytes:
    """Return 16 bytes that identify a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def text_id(text: str) -> str:
    """Return 16 hex digits of the SHA-256 of the text's UTF-8 bytes."""
    return sha256(text.encode()).hexdigest()[:16]


def texts_digest(*texts: str) -> bytes:
    """Return SHA-256 of the texts with their lengths: ("ab", "c") and ("a", "bc") differ."""
    pieces: list[bytes] = []
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        pieces += (len(raw).to_bytes(8, "big"), raw)
    return sha256(b"".join(pieces)).digest()


def json_type(value: object) -> str:
    """Return the JSON name of a decoded value, with the value itself if it is short."""
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (int, "number"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return f"{name} {str(value)[:40]!r}" if kind is str else f"{name} {value}".lower()
    return "array" if isinstance(value, list) else "object"
