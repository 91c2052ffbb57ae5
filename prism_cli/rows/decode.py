"""Bytes of one line to a row, or a RowError that says what is wrong with them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from prism_cli.errors import RowError
from prism_cli.rows.row import Row, json_type

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_LINE_BYTES = 64 << 20
"""What one row may weigh, so that memory stays bounded whatever the input."""
_SAFE_DEPTH = 200
_PLAIN = frozenset({str, int, bool, type(None)})
_INTEGER_END = 2.0**63
_BIG_INTEGER = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?[0-9]{19,})(?![0-9.eE])')


def decode_row(raw: bytes, fields: Mapping[str, str] | None = None) -> Row:
    """The JSON object on one line.

    Args:
        raw: the line, with or without its line end.
        fields: contract name -> name in the file; renamed in place, so key order is kept.

    Raises:
        RowError: not UTF-8, a byte order mark, not JSON (NaN and NUL included), torn, not an
            object, an integer that 64 bits do not hold, a mapped field next to its own name, or
            MAX_LINE_BYTES and more.
    """
    if len(raw) >= MAX_LINE_BYTES:
        raise RowError("", f"a line of more than {MAX_LINE_BYTES >> 20} MiB; it is cut in `raw`")
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RowError("", _complaint(raw, error)) from None
    if type(row) is not dict:
        raise RowError("", f"expected a JSON object, found {json_type(row)}")
    if _needs_a_closer_look(row.values(), 1):
        _refuse_big_integers(raw)
        _refuse_deep_nesting(row)
    return _renamed(row, fields) if fields else row


def _complaint(raw: bytes, error: orjson.JSONDecodeError) -> str:
    if raw.startswith(_BYTE_ORDER_MARK):
        return "the line starts with a byte order mark; save the file as UTF-8 without one"
    try:
        raw.decode()
    except UnicodeDecodeError as bad:
        return f"not UTF-8: byte 0x{raw[bad.start]:02x} at offset {bad.start}"
    if b"\x00" in raw:
        return f"a NUL byte at offset {raw.index(0)}"
    if not raw.endswith(b"\n"):
        return f"torn last line: the file ends inside the row ({error.msg})"
    return f"not JSON: {error.msg} at column {error.colno}"


def _needs_a_closer_look(values: Iterable[Any], depth: int) -> bool:
    """Whether a number is so large that it may have been an integer, or nesting is deep."""
    if _PLAIN.issuperset(map(type, values)):  # most rows end here
        return False
    for value in values:
        kind = type(value)
        if kind is float:
            if not -_INTEGER_END < value < _INTEGER_END:
                return True
        elif kind is dict or kind is list:
            inner = value.values() if kind is dict else value
            if depth >= _SAFE_DEPTH or _needs_a_closer_look(inner, depth + 1):
                return True
    return False


def _refuse_big_integers(raw: bytes) -> None:
    """An integer beyond 64 bits would come back as a float with other digits."""
    for match in _BIG_INTEGER.finditer(raw):
        digits = match.group(1)
        if digits and not -(2**63) <= int(digits) < 2**64:
            raise RowError(
                "", f"integer {digits[:30].decode()} needs more than 64 bits; make it a string"
            )


def _refuse_deep_nesting(row: Row) -> None:
    """What is read may nest deeper than what can be written."""
    try:
        orjson.dumps(row)
    except orjson.JSONEncodeError as error:
        raise RowError("", f"cannot be written again: {error}") from None


def _renamed(row: Row, fields: Mapping[str, str]) -> Row:
    names = {theirs: ours for ours, theirs in fields.items() if theirs in row}
    for theirs, ours in names.items():
        if ours in row and ours not in names:
            raise RowError(ours, f"stands beside {theirs!r}, which --field maps to the same name")
    return {names.get(name, name): value for name, value in row.items()}
