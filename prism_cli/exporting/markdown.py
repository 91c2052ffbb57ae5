"""Text of unknown origin inside a Markdown page: names and settings show as they are, and none
ends a table cell, opens a tag or starts a heading."""

import re

_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~<>&-])")


def plain(value: object) -> str:
    """On one line, without any mark-up of its own."""
    return _MARKS.sub(r"\\\1", _one_line(value))


def code(value: object) -> str:
    """On one line, as code; a bar inside would end a cell of a table even there."""
    text = _one_line(value)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{text.replace('|', chr(0x2223))}{space}{fence}"


def block(text: str, language: str = "") -> str:
    """As a fenced block, verbatim."""
    longest = max((len(run) for run in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _one_line(value: object) -> str:
    text = "".join(one if one.isprintable() else " " for one in str(value))
    return " ".join(text.split())
