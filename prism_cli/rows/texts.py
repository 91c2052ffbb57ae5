"""Texts from outside: which are blank, and which hold what no text may hold."""

import re

# Blanks, controls, and what is drawn as nothing: zero-width characters, fillers, selectors.
_SEEN = re.compile(
    "[^\\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)

BLANK_TEXT = "expected text, found a blank string"


def is_blank(text: str) -> bool:
    """Whether nothing of `text` can be seen: white space, control and zero-width characters."""
    return not "!" <= text[:1] <= "~" and _SEEN.search(text) is None


def stripped(text: str) -> str:
    """`text` without white space around it; "" where it is blank."""
    return "" if is_blank(text) else text.strip()


def titled(title: str | None, text: str) -> str:
    """What a model reads as the document: title + " " + text; a blank title is none."""
    return f"{title} {text}" if title and not is_blank(title) else text


def nul_fault(text: str) -> str:
    """Where the NUL of a text that holds one stands."""
    return f"a NUL character at offset {text.index(chr(0))}"


def text_fault(text: str) -> str | None:
    """What `text` holds that no text may hold, NUL or half of a surrogate pair; None if nothing."""
    if "\0" in text:
        return nul_fault(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half of a surrogate pair at offset {error.start}"
    return None
