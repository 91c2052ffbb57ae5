"""Decoding: the bytes of one line to a row, or to a RowError that explains the problem."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from prism_cli.errors import RowError, SkippedRowError
from prism_cli.files.lines import PartialLine, holds_nul, is_cut, not_utf8, too_long
from prism_cli.rows.fields import TAKEN_AS_HEADER
from prism_cli.rows.ids import ids_as_text
from prism_cli.rows.row import Dropped, Rejected, Row, RowRef, json_type

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SAFE_DEPTH = 200
_ARRAY = "a JSON array: one object a line is expected; name the file .json to have it read as one"
_NO_NUMBERS = ("NaN", "nan", "Infinity", "inf")
_TREC_RUN = re.compile(rb"\S+\s+Q?0\s+\S+\s+\d+\s+[-+.\deE]+\s+\S+")
_PRETTY = re.compile(rb'"(?:[^"\\]|\\.)*" *:.*[^}]$')
_CODE = re.compile(rb"\w\(|[({:;]$|^(#|//|@|import |from )")
"""Patterns of source code, which are rare in records of a table."""
_PLAIN = frozenset({str, int, bool, type(None)})
_INTEGER_END = 2.0**63
_INFINITE = float("inf")
_BIG_INTEGER = re.compile(rb'"(?:[^"\\]|\\.)*"|(?<![0-9.])(-?[0-9]{19,}+)(?![.eE])')


class Unreadable(bytes):
    """Bytes of an input that are not a row; `decode_row` raises the reason.

    Args:
        field, reason: as for `RowError`.
        ref: the origin of the bytes, if it differs from their number among the rows.
        skipped: True if the row is dropped by a rule instead of being an error.
    """

    field: str
    reason: str
    ref: RowRef | None
    skipped: bool

    def __new__(
        cls,
        raw: bytes,
        field: str,
        reason: str,
        *,
        ref: RowRef | None = None,
        skipped: bool = False,
    ) -> "Unreadable":
        self = super().__new__(cls, raw)
        self.field, self.reason, self.ref, self.skipped = field, reason, ref, skipped
        return self


class WithEmptyCells(bytes):
    """The JSON line of a table's record; `empty` are the contract names of its empty cells.

    Attributes:
        odd_header: True if prism knows none of the column names.
    """

    empty: frozenset[str]
    odd_header: bool

    def __new__(
        cls, raw: bytes, empty: frozenset[str], *, odd_header: bool = False
    ) -> "WithEmptyCells":
        self = super().__new__(cls, raw)
        self.empty, self.odd_header = empty, odd_header
        return self


def row_bytes(line: bytes) -> bytes:
    """Return a line of `byte_lines` for `decode_row`, which rejects one above the limit."""
    if type(line) is not PartialLine:
        return line
    return Unreadable(line, "", too_long()) if is_cut(line) else bytes(line)


def place_of(raw: bytes, ref: RowRef) -> RowRef:
    """Return the origin of a line: its own, else `ref`."""
    return raw.ref or ref if isinstance(raw, Unreadable) else ref


def set_aside(ref: RowRef, raw: bytes, error: RowError) -> Rejected | Dropped:
    """Return the rejected or dropped row for a line that is not a row."""
    if isinstance(error, SkippedRowError):
        return Dropped(error.reason)
    return Rejected(place_of(raw, ref), error.field, explained_reason(raw, error), raw)


def explained_reason(raw: bytes, error: RowError) -> str:
    """Return the reason of `error`, with a better description of an empty cell."""
    if isinstance(raw, WithEmptyCells) and error.field in raw.empty:
        return "expected text, found an empty cell"
    if isinstance(raw, WithEmptyCells) and raw.odd_header and "no such field" in error.reason:
        return f"{error.reason}. {TAKEN_AS_HEADER}"
    return error.reason


def decode_row(raw: bytes, fields: Mapping[str, str] | None = None) -> Row:
    """Return the JSON object on one line.

    Args:
        raw: the line, with or without its line end.
        fields: contract name -> name in the file; renamed in place, so key order is kept.

    Raises:
        SkippedRowError: the line is dropped by a rule.
        RowError: not UTF-8, a byte order mark, not JSON (including NaN and NUL), incomplete, not an
            object, a repeated key, an integer beyond 64 bits (an id: 2^53), or a mapped field next
            to its own name.
    """
    if type(raw) is Unreadable:
        raise (SkippedRowError if raw.skipped else RowError)(raw.field, raw.reason)
    if type(raw) is WithEmptyCells:
        raw = bytes(raw)  # orjson accepts no subclass
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RowError("", _complaint(raw, error)) from None
    if type(row) is not dict:
        objects = type(row) is list and all(type(entry) is dict for entry in row)
        hint = f": {_ARRAY}" if objects else ""
        raise RowError("", f"expected a JSON object, found {json_type(row)}{hint}")
    if not _is_kept_whole(raw, row) and _needs_a_closer_look(raw, row):
        _refuse_big_integers(raw)
        _refuse_deep_nesting(row)
        _refuse_repeated_keys(raw)
    renamed: Row = _renamed(row, fields) if fields else row
    ids_as_text(renamed)
    return renamed


def _complaint(raw: bytes, error: orjson.JSONDecodeError) -> str:
    if raw.startswith(_BYTE_ORDER_MARK):
        if looks_like := _other_format(raw.removeprefix(_BYTE_ORDER_MARK)):
            return f"not JSON, {looks_like}"
        return "the line starts with a byte order mark; save the file as UTF-8 without one"
    try:
        raw.decode()
    except UnicodeDecodeError as bad:
        return not_utf8(raw, bad)
    if reason := holds_nul(raw):
        return reason
    if looks_like := _other_format(raw):
        return f"not JSON, {looks_like}"
    problem = _parser_problem(raw, error)
    if problem == error.msg and not raw.endswith(b"\n"):
        return f"torn last line: the file ends inside the row ({error.msg})"
    return f"not JSON: {problem} at column {error.colno}"


def _parser_problem(raw: bytes, error: orjson.JSONDecodeError) -> str:
    """Return the parser's problem, explained for what other programs write and JSON has not."""
    rest = raw.decode()[error.pos :].lstrip("-")
    if word := next((name for name in _NO_NUMBERS if rest.startswith(name)), ""):
        return f"expected a finite number, or null where a value is missing, found {word}"
    if "infinity" in error.msg:
        return "expected a number that 64 bits hold, found a larger one"
    if rest.startswith(("'", "None", "True", "False")):
        return "this looks like a Python dict, which json.dumps writes as JSON; it stops"
    if error.msg.startswith("unexpected content"):
        if not rest.strip(", \t\r\n"):
            return "one object a line is expected, without commas between them; found one"
        if rest.startswith("{"):
            return "one object a line is expected; the next on the same line begins"
    return error.msg


def _other_format(raw: bytes) -> str:
    """Return the likely origin of a line that is not JSON, with a remedy; "" where unknown."""
    text = raw.strip()
    if text[:1] == b"[":
        return _ARRAY
    if text in (b"{", b"}", b"},", b"]") or _PRETTY.match(text):
        return "one line of pretty-printed JSON: one object a line is expected (`jq -c . IN > OUT`)"
    if _TREC_RUN.fullmatch(text):
        return "this looks like a TREC run: collect and convert read it with --from trec-run"
    if text[:1] != b"{" and not _CODE.search(text):
        for mark, name in ((b"\t", "tsv"), (b",", "csv"), (b";", "csv")):
            if mark in text:
                return f"this looks like {name.upper()}: name the file .{name} to have it read so"
    return ""


def _is_kept_whole(raw: bytes, row: Row) -> bool:
    """Return whether `row` is written with the bytes of its line: decoding lost nothing."""
    if raw.startswith(b" ", raw.find(b'":') + 2):  # written by Python, not orjson
        return False
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) == raw
    except orjson.JSONEncodeError:  # too deep to be written
        return False


def _needs_a_closer_look(raw: bytes, row: Row) -> bool:
    """Return whether a number is so large that it may have been an integer, nesting is deep, or a
    key may be repeated in one object.

    Every key has a colon after it. If all other colons of the line are in strings and nested
    objects that were kept, and none of them is written as an escape, no key was lost.
    """
    if b"\\u003" in raw:
        return True
    extra: float = (
        len(raw) - len(raw.replace(b":", b"")) - len(row)
    )  # replace is twice as fast as count
    document = row.get("document")
    if extra and type(document) is str:
        extra -= document.count(":")
    for value in row.values():
        if type(value) not in _PLAIN:
            extra -= _colons(value, 1)
    if extra:  # most rows have 0 here, without their other strings
        rest = [text for text in row.values() if type(text) is str and text is not document]
        extra -= "".join([*row, *rest]).count(":")
    return extra != 0


def _colons(value: Any, depth: int) -> float:
    """Return the number of keys of `value`, and of colons in its keys and strings; infinite if it
    has a large number, or is deep."""
    kind = type(value)
    if kind is float:
        return 0 if -_INTEGER_END < value < _INTEGER_END else _INFINITE
    if kind is str:
        return value.count(":")  # type: ignore[no-any-return]
    if kind is not dict and kind is not list:
        return 0
    if depth >= _SAFE_DEPTH:
        return _INFINITE
    count: float = 0
    if kind is dict:
        count = len(value) + "".join(value).count(":")
        value = value.values()
    for inner in value:
        if type(inner) is not float or not -_INTEGER_END < inner < _INTEGER_END:
            count += _colons(inner, depth + 1)
    return count


def _refuse_big_integers(raw: bytes) -> None:
    """Raise for an integer beyond 64 bits, which would become a float with other digits."""
    for match in _BIG_INTEGER.finditer(raw):
        digits = match.group(1)
        if digits and not -(2**63) <= int(digits) < 2**64:
            raise RowError(
                "", f"integer {digits[:30].decode()} needs more than 64 bits; make it a string"
            )


def _refuse_deep_nesting(row: Row) -> None:
    """Raise for nesting that can be read but not written."""
    try:
        orjson.dumps(row)
    except orjson.JSONEncodeError as error:
        raise RowError("", f"cannot be written again: {error}") from None


def _refuse_repeated_keys(raw: bytes) -> None:
    """Raise for a repeated key, of which a parser keeps only one value."""
    json.loads(raw, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise RowError(
            counts.most_common(1)[0][0], "occurs twice in one object; one value would be lost"
        )
    return row


def _renamed(row: Row, fields: Mapping[str, str]) -> Row:
    names = {foreign: own for own, foreign in fields.items() if foreign in row}
    for foreign, own in names.items():
        if own in row and own not in names:
            raise RowError(
                own, f"found together with {foreign!r}, which --field maps to the same name"
            )
    return {names.get(name, name): value for name, value in row.items()}
