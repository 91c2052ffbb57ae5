"""Answers and texts compared by SQuAD's rules: normalised, then token by token.

Lower case, no punctuation, no English articles, white space between tokens (Rajpurkar et al. 2016,
the evaluation script); punctuation is Unicode's, and characters of scripts without spaces are
single tokens (Lewis et al. 2020, MLQA; Artetxe et al. 2020, XQuAD).

SQuAD removes punctuation without inserting a blank, so "Manning's" or "1234-38" become one token.
Therefore a text also matches where its words occur between blanks and signs. Of 2,047 answers of
SQuAD's development set, 2,020 occur in their paragraph by the tokens alone, 2,046 by both.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

from prism_cli.domain.words import words

_LAST_SIGN = 0x20000
"""Upper bound of the code points of punctuation and symbols."""
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def squad_tokens(text: str) -> list[str]:
    """Return the tokens of `text`; none for articles and punctuation alone."""
    return _tokens(text, _signs("P", None))


class TokenText:
    """A text in which other texts are looked up."""

    def __init__(self, text: str) -> None:
        self._forms = _forms(text)

    def holds(self, text: str) -> bool:
        """Return whether the tokens of `text`, or its words, occur here consecutively and in order.
        False for a text without any."""
        return any(
            wanted.strip() and wanted in form
            for wanted, form in zip(_forms(text), self._forms, strict=True)
        )


def squad_scores(reply: str, answers: Sequence[str]) -> dict[str, float]:
    """Return exact_match and f1 of a reply by SQuAD's evaluation script, the best over the answers;
    and contained: 1 where some answer occurs in the reply.

    Args:
        reply: "" for no answer, which equals no answer with a token.
        answers: at least one.
    """
    words, text = squad_tokens(reply), TokenText(reply)
    wanted = [squad_tokens(answer) for answer in answers]
    return {
        "exact_match": float(words in wanted),
        "f1": max(_f1(words, answer) for answer in wanted),
        "contained": float(any(map(text.holds, answers))),
    }


def _f1(words: Sequence[str], answer: Sequence[str]) -> float:
    if not words or not answer:
        return float(words == answer)
    shared = (Counter(words) & Counter(answer)).total()
    return 2 * shared / (len(words) + len(answer))


def _forms(text: str) -> tuple[str, str]:
    """Return its tokens, and its words between blanks and signs, each surrounded by blanks."""
    both = squad_tokens(text), _tokens(text, _signs("PS", " "))
    return f" {' '.join(both[0])} ", f" {' '.join(both[1])} "


def _tokens(text: str, signs: dict[int, str | None]) -> list[str]:
    return words(_ARTICLES.sub(" ", text.lower().translate(signs)))


@cache
def _signs(kinds: str, instead: str | None) -> dict[int, str | None]:
    """Return a table for str.translate: signs of Unicode's `kinds`, and all of ASCII."""
    table: dict[int, str | None] = {ord(sign): instead for sign in string.punctuation}
    for code in range(_LAST_SIGN):
        if unicodedata.category(chr(code))[0] in kinds:
            table[code] = instead
    return table
