"""Cells of CSV and TSV: texts, but for the columns that the row contract makes something else."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from prism_cli.errors import RowError

_INTEGERS = ("rank", "source_rank", "votes_cast")
_NUMBERS = (
    "teacher_score", "score", "logit", "agreement", "source_score", "relevance_score",
    "revised_score",
)  # fmt: skip
_BOOLEANS = ("audit", "format_ok", "truncated", "answerable")
_JSON = (
    "teacher_scores", "votes", "vote_probabilities", "reused", "objectives", "documents",
    "results", "windows", "best_window", "unsupported", "predicted_citations",
    "predicted_contribution_citations", "answers", "rationales", "pos_scores", "neg_scores",
    "pos_id", "neg_id", "pos_ids", "neg_ids",
)  # fmt: skip
_LISTS_OR_TEXTS = ("pos", "neg")


def cell_value(name: str, text: str) -> Any:
    """The value of a cell that is not empty; a text, unless the contract says otherwise.

    Args:
        name: of the field, by the row contract.

    Raises:
        RowError: the text is no such value.
    """
    parse = _PARSERS.get(name)
    return parse(name, text) if parse else text


def _integer(name: str, text: str) -> int:
    value = _number(name, text)
    if not value.is_integer():
        raise _wrong(name, "a whole number", text)
    return int(value)


def _number(name: str, text: str) -> float:
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _wrong(name, "a number", text)
    return value


def _boolean(name: str, text: str) -> bool:
    value = {"true": True, "false": False}.get(text.strip().lower())
    if value is None:
        raise _wrong(name, "true or false", text)
    return value


def _json(name: str, text: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict | list):
        raise _wrong(name, "a JSON object or array", text)
    return value


def _list_or_text(name: str, text: str) -> Any:
    return _json(name, text) if text.lstrip().startswith("[") else text


def _wrong(name: str, expected: str, text: str) -> RowError:
    return RowError(name, f"expected {expected} in this cell, found {text[:60]!r}")


_PARSERS: Mapping[str, Callable[[str, str], Any]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_BOOLEANS, _boolean),
    **dict.fromkeys(_JSON, _json),
    **dict.fromkeys(_LISTS_OR_TEXTS, _list_or_text),
}
