"""Escape untrusted text for Markdown: names and settings appear literally, and cannot end a table
cell, open a tag or start a heading."""

import re

_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~<>&-])")


def plain(value: object) -> str:
    """Return the value on one line, with Markdown escaped."""
    return _MARKS.sub(r"\\\1", _one_line(value))


def code(value: object) -> str:
    """Return the value on one line, as code; a bar is replaced, because it would end a cell."""
    text = _one_line(value)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{text.replace('|', chr(0x2223))}{space}{fence}"


def block(text: str, language: str = "") -> str:
    """Return the text as a fenced block, verbatim."""
    longest = max((len(run) for run in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _one_line(value: object) -> str:
    text = "".join(char if char.isprintable() else " " for char in str(value))
    return " ".join(text.split())
