"""Which script a letter is of: LATIN, CYRILLIC, CJK, HANGUL, …"""

import unicodedata
from collections import Counter
from functools import lru_cache

from prism_cli.domain.words import words

_TOGETHER = {
    "HIRAGANA": "CJK", "KATAKANA": "CJK", "KATAKANA-HIRAGANA": "CJK", "IDEOGRAPHIC": "CJK",
    "HALFWIDTH": "CJK", "FULLWIDTH": "LATIN",
}  # fmt: skip
"""Scripts that one language mixes, and forms of one script."""


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """By the first word of the letter's Unicode name."""
    first = unicodedata.name(letter, "OTHER").partition(" ")[0]
    return _TOGETHER.get(first, first)


def word_scripts(text: str, most: int | None = None) -> Counter[str]:
    """Words by the script of their first letter; words without a letter do not count.

    Args:
        most: words that are looked at; None for all.
    """
    letters = (next(filter(str.isalpha, word), None) for word in words(text)[:most])
    return Counter(script_of(letter) for letter in letters if letter is not None)
