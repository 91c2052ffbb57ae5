"""Readers of a BEIR folder's files: documents, queries, judgements; streamed and validated.

Only this module handles `_id`. Every file may be compressed (.gz, .zst, .bz2, .xz); line ends may
be CRLF, and a byte order mark is skipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from prism_cli.domain.trec import check_trec_id, parse_judgement
from prism_cli.errors import MissingDataError, RowError
from prism_cli.files.lines import byte_lines
from prism_cli.files.text import text_lines
from prism_cli.rows.decode import decode_row, row_bytes
from prism_cli.rows.ids import id_text
from prism_cli.rows.row import Row, json_type, string_field
from prism_cli.shards.seen_keys import SeenKeys


@dataclass(frozen=True, slots=True)
class Passage:
    """One document of a corpus; `title` is "" if there is none."""

    doc_id: str
    title: str
    text: str


def read_corpus(path: Path) -> Iterator[Passage]:
    """Yield all documents of a corpus.jsonl, in file order; memory holds 24 bytes of each.

    Raises:
        MissingDataError: a bad line, a repeated id, or no document at all.
    """
    for where, doc_id, row in _identified_rows(path, "document", "documents"):
        title = text_of(row, "title", where, required=False)
        yield Passage(doc_id, title, text_of(row, "text", where))


def read_queries(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (query_id, query) of a queries.jsonl, in file order.

    Raises:
        MissingDataError: a bad line, a blank query, a repeated id, or no query at all.
    """
    for where, query_id, row in _identified_rows(path, "query", "queries"):
        yield query_id, text_of(row, "text", where, blank=False)


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return query_id -> doc_id -> grade of a file of judgements, in file order; see
    `parse_judgement`.

    Raises:
        MissingDataError: a bad line, two grades for one pair, or no judgement.
    """
    grades: dict[str, dict[str, int]] = {}
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            judgement = parse_judgement(line)
        except RowError as error:
            raise _line_error(where, error.field, error.reason) from None
        if judgement is None:
            if number == 1:
                continue
            raise _line_error(where, "", f"a header after the first line: {line[:60]!r}")
        query_id, doc_id, grade = judgement
        first = grades.setdefault(query_id, {}).setdefault(doc_id, grade)
        if first != grade:
            raise _line_error(where, "score", f"{query_id} {doc_id} has grades {first} and {grade}")
    if not grades:
        raise MissingDataError(f"{path}: holds no judgements")
    return grades


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield (FILE:LINE, row) of a JSONL file, without blank lines.

    Raises:
        MissingDataError: a line is not a JSON object.
    """
    for number, line in enumerate(byte_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            yield where, decode_row(row_bytes(line))
        except RowError as error:
            raise _line_error(where, error.field, error.reason) from None


def _identified_rows(path: Path, kind: str, plural: str) -> Iterator[tuple[str, str, Row]]:
    """Yield (FILE:LINE, _id, row) of a file of documents or queries.

    Raises:
        MissingDataError: a bad line, a repeated id, or no row at all.
    """
    seen = SeenKeys()
    for where, row in read_rows(path):
        row_id = _identifier(row, where)
        if not seen.add(row_id) and _is_repeated(path, row_id):
            raise _line_error(where, "_id", f"{row_id!r} is repeated; expected unique {kind} ids")
        yield where, row_id, row
    if not len(seen):
        raise MissingDataError(f"{path}: holds no {plural}")


def _is_repeated(path: Path, row_id: str) -> bool:
    """Return whether two rows have this id, not only ids of the same hash."""
    ids = (id_text(row.get("_id"), "_id") for _, row in read_rows(path))
    return len(list(islice(filter(row_id.__eq__, ids), 2))) == 2


def _identifier(row: Row, where: str) -> str:
    try:
        value = id_text(row.get("_id"), "_id")
    except RowError as error:
        raise _line_error(where, error.field, error.reason) from None
    if not isinstance(value, str):
        found = json_type(value) if "_id" in row else "no such field"
        raise _line_error(where, "_id", f"expected a string, found {found}")
    try:
        check_trec_id("_id", value)
    except RowError as error:
        raise _line_error(where, error.field, error.reason) from None
    return value


def text_of(row: Row, field: str, where: str, *, required: bool = True, blank: bool = True) -> str:
    """Return a text of the row, as `string_field`.

    Raises:
        MissingDataError: the text is missing, of another type, or blank; names `where`.
    """
    try:
        return string_field(row, field, required=required, blank=blank)
    except RowError as error:
        raise _line_error(where, error.field, error.reason) from None


def _line_error(where: str, field: str, reason: str) -> MissingDataError:
    place = f"{where}: {field}" if field else where
    return MissingDataError(f"{place}: {reason}; reading stopped here")
