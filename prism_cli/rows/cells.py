"""Cells of CSV and TSV: texts, except in columns for which the row contract has another type."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from prism_cli.errors import RowError
from prism_cli.rows.fields import BOOLEANS, INTEGERS, LISTS_OR_TEXTS, NUMBERS, OBJECTS_AND_LISTS
from prism_cli.rows.number import number_in


def cell_value(name: str, text: str) -> Any:
    """Return the value of a non-empty cell; a text, unless the contract has another type.

    Args:
        name: name of the field in the row contract.

    Raises:
        RowError: the text is not a value of that type.
    """
    parse = _PARSERS.get(name)
    return parse(name, text) if parse else text


def _integer(name: str, text: str) -> int:
    value = _number(name, text, "a whole number")
    if not value.is_integer():
        raise _wrong(name, "a whole number", text)
    return int(value)


def _number(name: str, text: str, expected: str = "a number") -> float:
    value = number_in(text)
    if value is None or not math.isfinite(value):
        raise _wrong(name, expected, text)
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
    **dict.fromkeys(INTEGERS, _integer),
    **dict.fromkeys(NUMBERS, _number),
    **dict.fromkeys(BOOLEANS, _boolean),
    **dict.fromkeys(OBJECTS_AND_LISTS, _json),
    **dict.fromkeys(LISTS_OR_TEXTS, _list_or_text),
}
