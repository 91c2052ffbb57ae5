"""Make foreign text safe to show: escape characters that are invisible or change its direction.

A document may hold bidi controls, zero-width or tag characters, NUL or halves of surrogate pairs.
They become marks such as ⟨U+202E⟩.
"""

import re
from collections.abc import Callable

_ALWAYS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# A joiner shapes the letters of some scripts and emoji: it stays between two that are not ASCII.
_JOINER = "[\u200c\u200d]"
_INVISIBLE = re.compile(
    f"(?:[{_ALWAYS}]|(?<![^\x00-\x7f]){_JOINER}|{_JOINER}(?=[\x00-\x7f\u200c\u200d]|$)"
    "|(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f])+"
)
_MAX_CODES = 4
"""Code points shown of one run; of the rest, their number."""


def escape_invisible(text: str, mark: Callable[[str], str] = "⟨{}⟩".format) -> str:
    """Replace each run of invisible characters by `mark` of their code points."""

    def codes(match: re.Match[str]) -> str:
        run = match[0]
        names = " ".join(f"U+{ord(character):04X}" for character in run[:_MAX_CODES])
        more = len(run) - _MAX_CODES
        return mark(names + (f" … {more:,} more" if more > 0 else ""))

    return _INVISIBLE.sub(codes, text.replace("\r\n", "\n"))


def escape_line(text: str) -> str:
    """Escape invisible characters and line ends, which file names may hold."""
    return escape_invisible(text).replace("\n", "⟨U+000A⟩")


def one_line(text: str, limit: int) -> str:
    """Escape `text`, put it on one line, and cut it to `limit` characters with an ellipsis."""
    line = " ".join(escape_invisible(text[: 4 * limit]).split())
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 1] + "…"
