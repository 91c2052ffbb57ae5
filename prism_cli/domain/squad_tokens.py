"""Answers and texts compared as SQuAD compares them: normalised, then token by token.

Small letters, no punctuation, no English articles, white space between tokens (Rajpurkar et al.
2016, the evaluation script); punctuation is Unicode's, and characters of scripts without spaces
are tokens of their own (Lewis et al. 2020, MLQA; Artetxe et al. 2020, XQuAD).
"""

import re
import string
import unicodedata
from collections.abc import Iterable
from functools import cache

from prism_cli.domain.words import words

_LAST_PUNCTUATION = 0x20000
"""No sign of Unicode's punctuation lies beyond."""
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def squad_tokens(text: str) -> list[str]:
    """The tokens of `text`; none where it is articles and punctuation alone."""
    plain = text.lower().translate(_without_punctuation())
    return words(_ARTICLES.sub(" ", plain))


class TokenText:
    """Tokens, made to look others up in."""

    def __init__(self, text: str) -> None:
        self.tokens = squad_tokens(text)
        self._joined = f" {' '.join(self.tokens)} "

    def holds(self, tokens: Iterable[str]) -> bool:
        """Whether `tokens` stand here whole: one behind the other, in order. Not so for none."""
        wanted = " ".join(tokens)
        return bool(wanted) and f" {wanted} " in self._joined


@cache
def _without_punctuation() -> dict[int, None]:
    """What str.translate drops."""
    found = dict.fromkeys(map(ord, string.punctuation))
    for code in range(_LAST_PUNCTUATION):
        if unicodedata.category(chr(code)).startswith("P"):
            found[code] = None
    return found
