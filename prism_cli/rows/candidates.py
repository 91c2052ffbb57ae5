"""The second shape of a row to rerank: a query with its documents."""

from math import inf
from typing import NamedTuple

from prism_cli.errors import RowError
from prism_cli.rows.row import (
    OneText,
    Row,
    check_pair,
    doc_id,
    json_type,
    number_field,
    string_field,
    text_id,
)
from prism_cli.rows.texts import nul_fault, titled

OF_FIRST_STAGE = ("source_score", "source_rank")


class Candidate(NamedTuple):
    """A document to rank.

    Attributes:
        text: title + " " + document, as the model reads it.
        body: where the caller's own document begins in `text`.
        source_score, source_rank: of the first stage that found it; None for none, and for what is
            no number (`check_first_stage` refuses that).
    """

    doc_id: str
    text: str
    body: int = 0
    source_score: float | None = None
    source_rank: float | None = None


def titled_candidate(name: str, title: str | None, text: str) -> Candidate:
    """Return the document of that id, with its title in front."""
    full_text = titled(title, text)
    return Candidate(name, full_text, len(full_text) - len(text))


def pair_candidate(row: Row) -> Candidate:
    """Return the document of a pair row."""
    candidate = titled_candidate(doc_id(row), row.get("title"), row["document"])
    return _with_first_stage(candidate, row)


def check_rerank_row(row: Row) -> None:
    """Check `row` against both shapes: a pair, or a query with documents.

    Raises:
        RowError: names the field, such as `documents[2].text`.
    """
    if "documents" in row:
        string_field(row, "query", blank=False)
        for name in ("query_id", "original_query"):
            string_field(row, name, required=False)
        candidates(row)
    else:
        check_pair(row)


def candidates(row: Row) -> list[Candidate]:
    """Return a row's `documents`, in order.

    Raises:
        RowError: not an array; an entry that is neither a string nor {"text", "doc_id", "title"}; a
            doc_id with two texts.
    """
    documents = row["documents"]
    if not isinstance(documents, list):
        raise RowError("documents", f"expected an array, found {json_type(documents)}")
    found, texts = list[Candidate](), OneText()
    for index, document in enumerate(documents):
        path = f"documents[{index}]"
        if isinstance(document, str):
            if "\0" in document:
                raise RowError(path, nul_fault(document))
            found.append(Candidate(text_id(document), document))
            continue
        if not isinstance(document, dict):
            raise RowError(path, f"expected a string or an object, found {json_type(document)}")
        try:
            text = string_field(document, "text") or ""
            title = string_field(document, "title", required=False)
            name = string_field(document, "doc_id", required=False)
        except RowError as error:
            raise RowError(f"{path}.{error.field}", error.reason) from None
        candidate = titled_candidate(name or text_id(titled(title, text)), title, text)
        if name:
            texts.check(name, candidate.text, f"{path}.doc_id")
        found.append(_with_first_stage(candidate, document))
    return found


def check_first_stage(row: Row) -> None:
    """Check source_score and source_rank of a row of either shape.

    Raises:
        RowError: one of them is not a number; names it, such as `documents[2].source_score`.
    """
    found = [("", row)]
    if "documents" in row:
        entries = enumerate(row["documents"])
        found = [(f"documents[{at}].", one) for at, one in entries if isinstance(one, dict)]
    for path, entry in found:
        try:
            for name in OF_FIRST_STAGE:
                number_field(entry, name, -inf, inf)
        except RowError as error:
            raise RowError(path + error.field, error.reason) from None


def _with_first_stage(candidate: Candidate, entry: Row) -> Candidate:
    if entry.keys().isdisjoint(OF_FIRST_STAGE):
        return candidate
    values = (entry.get(name) for name in OF_FIRST_STAGE)
    score, rank = (value if type(value) in (int, float) else None for value in values)
    return candidate._replace(source_score=score, source_rank=rank)
