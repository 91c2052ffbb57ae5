"""Checks of untrusted text: blank texts, and characters that are not allowed."""

import re

# Blanks, controls, and invisible characters: zero-width characters, fillers, selectors.
_SEEN = re.compile(
    "[^\\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)

BLANK_TEXT = "expected text, found a blank string"


def is_blank(text: str) -> bool:
    """Return whether `text` has only white space, control and zero-width characters."""
    return not "!" <= text[:1] <= "~" and _SEEN.search(text) is None


def stripped(text: str) -> str:
    """Return `text` without surrounding white space; "" where it is blank."""
    return "" if is_blank(text) else text.strip()


def titled(title: str | None, text: str) -> str:
    """Return the document as a model reads it: title + " " + text; a blank title is ignored."""
    return f"{title} {text}" if title and not is_blank(title) else text


def nul_fault(text: str) -> str:
    """Return the position of the NUL in a text that has one."""
    return f"a NUL character at offset {text.index(chr(0))}"


def text_fault(text: str) -> str | None:
    """Return the bad character of `text`, NUL or half of a surrogate pair; None without one."""
    if "\0" in text:
        return nul_fault(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half of a surrogate pair at offset {error.start}"
    return None
