"""Text of others in a cell of a spreadsheet: no formula, no control character, no longer than it
takes."""

import re

CELL_CHARACTERS = 32_000
"""In UTF-16 units; Excel takes 32,767."""
_CUT_MARK = " […]"
_FORMULA = re.compile(r"'*[\s\ufeff\u200b-\u200f\u2060\u061c]*[=+\-@＝＋－＠﹦﹢﹣﹫\t\r\n]")
"""What spreadsheets compute, behind what nobody sees; behind apostrophes too, so that `plain` finds
the way back."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Bidirectional embeddings among them, by which a text shows other than it reads."""


def cell(text: str) -> tuple[str, bool]:
    """`text` for a cell, and whether it was cut; an apostrophe before what looks like a formula
    (OWASP, CSV injection)."""
    clean = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    raw = clean.encode("utf-16-le")
    cut = len(raw) > 2 * CELL_CHARACTERS
    if cut:
        most = 2 * (CELL_CHARACTERS - len(_CUT_MARK) - 1)
        clean = raw[:most].decode("utf-16-le", "ignore") + _CUT_MARK
    return (f"'{clean}" if _FORMULA.match(clean) else clean), cut


def plain(text: str) -> str:
    """What `cell` was given, less what it removed or cut."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
