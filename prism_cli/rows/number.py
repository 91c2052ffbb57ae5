"""Numbers in untrusted text: cells, columns of a run, grades."""

import re

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BLANKS = " \t"
_MOST_DIGITS = 18


def number_in(text: str) -> float | None:
    """Return the number of a text in ASCII, ignoring surrounding blanks; None for any other text.

    Python's float accepts more: digits of any script, `1_000`, `nan` and `infinity`. A number too
    large for a double is infinite.
    """
    text = text.strip(_BLANKS)
    return float(text) if _NUMBER.fullmatch(text) else None


def digits_in(text: str) -> int | None:
    """Return the whole number of a text of ASCII digits; None for others, such as "-1"."""
    fits = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if fits else None


def is_score(value: object) -> bool:
    """Return whether a value of a row is a number in [0, 1]."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= 1  # type: ignore[operator]
