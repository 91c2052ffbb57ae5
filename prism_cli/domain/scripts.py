"""The script of a letter: LATIN, CYRILLIC, CJK, HANGUL, …"""

import unicodedata
from collections import Counter
from functools import lru_cache

from prism_cli.domain.words import words

_TOGETHER = {
    "HIRAGANA": "CJK", "KATAKANA": "CJK", "KATAKANA-HIRAGANA": "CJK", "IDEOGRAPHIC": "CJK",
    "HALFWIDTH": "CJK", "FULLWIDTH": "LATIN",
}  # fmt: skip
"""Scripts that one language mixes, and variants of one script."""


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """Return the script, from the first word of the letter's Unicode name."""
    first = unicodedata.name(letter, "OTHER").partition(" ")[0]
    return _TOGETHER.get(first, first)


def word_scripts(text: str, most: int | None = None) -> Counter[str]:
    """Count words by the script of their first letter; words without a letter are ignored.

    Args:
        most: number of words that are read; None for all.
    """
    letters = (next(filter(str.isalpha, word), None) for word in words(text)[:most])
    return Counter(script_of(letter) for letter in letters if letter is not None)
