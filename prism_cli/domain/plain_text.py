"""Plain text: signs and digits in one form, so that texts can be compared."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_SIGNS = str.maketrans("’‘‚‛“”„‟–—‐−•‧٪٫٬", "''''\"\"\"\"----··%.,")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")


def plain(text: str) -> str:
    """Unify digits, quotation marks and dashes."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    return _OTHER_DIGIT.sub(lambda digit: str(int(digit[0])), text)


def places(text: str) -> tuple[Sequence[int], Sequence[int]]:
    """Return for each character of the plain text the range of `text` that it is from."""
    if text.isascii():
        return range(len(text)), range(1, len(text) + 1)
    starts: list[int] = []
    ends: list[int] = []
    begin = 0
    for at in range(1, len(text) + 1):
        # Only the end of a long piece can compose with what follows.
        if at < len(text) and not _separate(text[max(begin, at - 8) : at], text[at]):
            continue
        size = len(unicodedata.normalize("NFKC", text[begin:at]))
        starts += [begin] * size
        ends += [at] * size
        begin = at
    return starts, ends


def _separate(piece: str, follower: str) -> bool:
    """Return whether a character is normalized independently of those before it."""
    if follower.isascii():
        return True
    after = unicodedata.normalize("NFKC", follower)
    if unicodedata.combining(after[0]):
        return False
    joint = unicodedata.normalize("NFKC", piece + follower)
    return joint == unicodedata.normalize("NFKC", piece) + after


def blank_out(text: str, ranges: Iterable[tuple[int, int]]) -> str:
    """Return `text` with blanks in place of ranges."""
    parts, at = [], 0
    for start, end in sorted(ranges):
        parts += [text[at:start], " " * (end - max(start, at))]
        at = max(end, at)
    return "".join((*parts, text[at:])) if parts else text
