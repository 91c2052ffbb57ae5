"""Answers and texts compared as SQuAD compares them: normalised, then token by token.

Small letters, no punctuation, no English articles, white space between tokens (Rajpurkar et al.
2016, the evaluation script); punctuation is Unicode's, and characters of scripts without spaces
are tokens of their own (Lewis et al. 2020, MLQA; Artetxe et al. 2020, XQuAD).

As SQuAD's punctuation goes without a blank in its place, "Manning's" or "1234-38" become one token;
so a text is held as well where its words stand whole between blanks and signs. Of 2,047
answers of SQuAD's development set 2,020 stand in their paragraph by the tokens alone, 2,046 by
both.
"""

import re
import string
import unicodedata
from functools import cache

from prism_cli.domain.words import words

_LAST_SIGN = 0x20000
"""Neither punctuation nor symbols lie beyond."""
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def squad_tokens(text: str) -> list[str]:
    """The tokens of `text`; none where it is articles and punctuation alone."""
    return _tokens(text, _signs("P", None))


class TokenText:
    """A text, made to look others up in."""

    def __init__(self, text: str) -> None:
        self._forms = _forms(text)

    def holds(self, text: str) -> bool:
        """Whether the tokens of `text`, or its words, stand here whole: one behind the other, in
        order. Not so where it has none."""
        return any(
            wanted.strip() and wanted in form
            for wanted, form in zip(_forms(text), self._forms, strict=True)
        )


def _forms(text: str) -> tuple[str, str]:
    """Its tokens, and its words between blanks and signs, each between blanks."""
    both = squad_tokens(text), _tokens(text, _signs("PS", " "))
    return f" {' '.join(both[0])} ", f" {' '.join(both[1])} "


def _tokens(text: str, signs: dict[int, str | None]) -> list[str]:
    return words(_ARTICLES.sub(" ", text.lower().translate(signs)))


@cache
def _signs(kinds: str, instead: str | None) -> dict[int, str | None]:
    """For str.translate: signs of Unicode's `kinds`, and all of ASCII."""
    found: dict[int, str | None] = {ord(one): instead for one in string.punctuation}
    for code in range(_LAST_SIGN):
        if unicodedata.category(chr(code))[0] in kinds:
            found[code] = instead
    return found
