"""Ids are text; an integer stands for its decimal digits. The one place that says so."""

import re
from typing import Any

from prism_cli.errors import RowError

ID_FIELDS = ("query_id", "doc_id")
_ID_LISTS = ("documents", "pos", "neg")
"""Fields that hold documents, each with an id of its own."""
_END = 2**53
_ID_NAME = re.compile(r"(?:.*[\W_])?(?:id|[qpd]id|docid|queryid)", re.I)


def is_id_name(name: str) -> bool:
    """Whether a column of that name seems to hold ids, under whatever name --field may give it."""
    return _ID_NAME.fullmatch(name) is not None


def id_text(value: Any, field: str) -> Any:
    """An integer as its digits; any other value as it is, for the contract to judge.

    Raises:
        RowError: an integer of 2^53 or more in magnitude, which many JSON tools round.
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
    """Replace integer ids of `row`, and of the documents in it, by their digits.

    Raises:
        RowError: see `id_text`.
    """
    for name in ID_FIELDS:
        if type(value := row.get(name)) is int:
            row[name] = id_text(value, name)
    if "document" in row:  # most rows end here
        return
    for name in _ID_LISTS:
        if type(row.get(name)) is list:
            for index, one in enumerate(row[name]):
                if type(one) is dict and type(one.get("doc_id")) is int:
                    one["doc_id"] = id_text(one["doc_id"], f"{name}[{index}].doc_id")
