"""Numbers in texts that others wrote: cells, columns of a run, grades."""

import re

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BLANKS = " \t"
_MOST_DIGITS = 18


def number_in(text: str) -> float | None:
    """The number that a text spells in ASCII, blanks around it aside; None where it spells none.

    Python's float takes more: digits of any script, `1_000`, `nan` and `infinity`. A number too
    large for a double is infinite.
    """
    text = text.strip(_BLANKS)
    return float(text) if _NUMBER.fullmatch(text) else None


def digits_in(text: str) -> int | None:
    """The whole number that a text of ASCII digits is; None where it has a sign, or is none."""
    fits = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if fits else None
