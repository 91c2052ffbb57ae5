"""Ids are text; an integer is converted to its decimal digits here and nowhere else."""

import re
from typing import Any

from prism_cli.errors import RowError

ID_FIELDS = ("query_id", "doc_id")
_ID_LISTS = ("documents", "pos", "neg")
"""Fields with lists of documents, each with its own id."""
_END = 2**53
_ID_NAME = re.compile(r"(?:.*[\W_])?(?:id|[qpd]id|docid|queryid)", re.I)


def is_id_name(name: str) -> bool:
    """Return whether a column with this name seems to have ids, whatever --field maps it to."""
    return _ID_NAME.fullmatch(name) is not None


def id_text(value: Any, field: str) -> Any:
    """Return an integer as its digits; any other value unchanged, for the contract to check.

    Raises:
        RowError: an integer has a magnitude of at least 2^53, which many JSON tools round.
    """
    if type(value) is not int:
        return value
    if not -_END < value < _END:
        raise RowError(
            field,
            f"integer {value} is 2^53 or larger, which many tools round; write the id as a string",
        )
    return str(value)


def ids_as_text(row: dict[str, Any]) -> None:
    """Replace integer ids of `row`, and of its documents, by their digits.

    Raises:
        RowError: see `id_text`.
    """
    for name in ID_FIELDS:
        if type(value := row.get(name)) is int:
            row[name] = id_text(value, name)
    if "document" in row:  # most rows
        return
    for name in _ID_LISTS:
        if type(row.get(name)) is list:
            for index, document in enumerate(row[name]):
                if type(document) is dict and type(document.get("doc_id")) is int:
                    document["doc_id"] = id_text(document["doc_id"], f"{name}[{index}].doc_id")
