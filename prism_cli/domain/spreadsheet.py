"""Untrusted text in a spreadsheet cell: no formula, no control character, limited length."""

import re

CELL_CHARACTERS = 32_000
"""Limit in UTF-16 units; Excel's limit is 32,767."""
_CUT_MARK = " […]"
_FORMULA = re.compile(r"'*[\s\ufeff\u200b-\u200f\u2060\u061c]*[=+\-@＝＋－＠﹦﹢﹣﹫\t\r\n]")
"""Text that spreadsheets evaluate, after invisible characters; after apostrophes too, so that
`plain` can undo `cell`."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, including bidirectional embeddings, which display a text in another order."""


def cell(text: str) -> tuple[str, bool]:
    """Return `text` for a cell, and whether it was truncated; adds an apostrophe before a possible
    formula (OWASP, CSV injection)."""
    clean = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    raw = clean.encode("utf-16-le")
    cut = len(raw) > 2 * CELL_CHARACTERS
    if cut:
        most = 2 * (CELL_CHARACTERS - len(_CUT_MARK) - 1)
        clean = raw[:most].decode("utf-16-le", "ignore") + _CUT_MARK
    return (f"'{clean}" if _FORMULA.match(clean) else clean), cut


def plain(text: str) -> str:
    """Return the argument of `cell`, without the text that it removed or truncated."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
