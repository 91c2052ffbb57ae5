"""Foreign text made safe to look at: what would be invisible, or turn the line around, is spelled.

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
_HIDDEN = re.compile(
    f"(?:[{_ALWAYS}]|(?<![^\x00-\x7f]){_JOINER}|{_JOINER}(?=[\x00-\x7f\u200c\u200d]|$)"
    "|(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f])+"
)
_SPELLED = 4
"""Characters of one run that are spelled; of the rest their number."""


def spelled(text: str, mark: Callable[[str], str] = "⟨{}⟩".format) -> str:
    """`text` with each run of hidden characters replaced by `mark` of their code points."""

    def codes(found: re.Match[str]) -> str:
        run = found[0]
        names = " ".join(f"U+{ord(one):04X}" for one in run[:_SPELLED])
        return mark(names + (f" … {len(run) - _SPELLED:,} more" if len(run) > _SPELLED else ""))

    return _HIDDEN.sub(codes, text.replace("\r\n", "\n"))


def in_line(text: str) -> str:
    """`text` spelled, line ends too: names of files may hold them."""
    return spelled(text).replace("\n", "⟨U+000A⟩")


def one_line(text: str, limit: int) -> str:
    """`text` spelled, on one line, cut to `limit` characters with an ellipsis."""
    line = " ".join(spelled(text[: 4 * limit]).split())
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 1] + "…"
