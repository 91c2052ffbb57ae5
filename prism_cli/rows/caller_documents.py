"""Documents that a caller of the Python interface gives, checked as rows are."""

from collections.abc import Mapping, Sequence
from math import inf
from numbers import Real
from typing import Any

from prism_cli.errors import ArgumentError, RowError
from prism_cli.rows.candidates import (
    OF_FIRST_STAGE,
    Candidate,
    candidates,
    check_first_stage,
    check_rerank_row,
)
from prism_cli.rows.texts import text_fault

Documents = Sequence[str | Mapping[str, Any]]
"""Texts, or {"text", "doc_id", "title", "source_score", "source_rank"}: text is required."""


def caller_documents(query: str, documents: Documents) -> list[Candidate]:
    """Return the documents that a caller gave for a query.

    Raises:
        ArgumentError: another shape, or a text that a row cannot have.
    """
    if isinstance(documents, str | Mapping):
        raise ArgumentError("documents: expected a sequence of documents, found a single one")
    entries = [dict(entry) if isinstance(entry, Mapping) else entry for entry in documents]
    row = {"query": query, "documents": entries}
    try:
        _plain_numbers(entries)
        _check_unicode(row)
        check_rerank_row(row)
        check_first_stage(row)
    except RowError as error:
        raise refused(query, error) from None
    return candidates(row)


def _plain_numbers(entries: Sequence[Any]) -> None:
    """Make plain floats of the first stage's scores, such as those of numpy."""
    for entry in entries:
        for name in OF_FIRST_STAGE if isinstance(entry, dict) else ():
            value = entry.get(name)
            if not isinstance(value, Real) or isinstance(value, bool):
                continue
            try:
                entry[name] = float(value)
            except OverflowError:
                entry[name] = inf


def _check_unicode(row: Mapping[str, Any]) -> None:
    """Raise for text that a Python string may have, but a row cannot.

    Raises:
        RowError: a text has half of a surrogate pair; names the field.
    """
    named = [("query", row["query"])]
    for index, document in enumerate(row["documents"]):
        path = f"documents[{index}]"
        inner = document.items() if isinstance(document, dict) else ()
        named += [(path, document), *((f"{path}.{name}", text) for name, text in inner)]
    for field, text in named:
        if isinstance(text, str) and (fault := text_fault(text)):
            raise RowError(field, fault)


def refused(query: object, error: RowError) -> ArgumentError:
    """Return the error for a caller whose query or document cannot be ranked."""
    return ArgumentError(f"{error} (query {str(query)[:60]!r})")
