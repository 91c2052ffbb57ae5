"""Content words of a text as keys that ignore endings, for comparing sentences."""

import re
from collections.abc import Sequence

from prism_cli.domain.languages import FUNCTION_WORDS
from prism_cli.domain.query_words import WITHOUT_CONTENT
from prism_cli.domain.words import is_unspaced

_DROPPED = WITHOUT_CONTENT.union(*FUNCTION_WORDS.values())
_STEM = 5
"""Letters of a longer word that are compared; of Korean words, whose particles follow, two."""
_HANGUL = re.compile("[\uac00-\ud7a3]{3}")
_ARTICLE = re.compile("^[وفبك]?ال(?=...)|^لل(?=...)")


def word_keys(words: Sequence[str]) -> list[str]:
    """Return one key per folded word; "" for function words and single letters.

    In scripts without blanks the key of a character is the pair with the next one, "" for the last.
    """
    keys = {word: _key(word) for word in set(words)}
    listed = [keys[word] for word in words]
    if any(keys[word] == word and is_unspaced(word) for word in keys):
        for at, word in enumerate(words):
            if is_unspaced(word):
                follower = words[at + 1] if at + 1 < len(words) else ""
                listed[at] = word + follower if is_unspaced(follower) else ""
    return listed


def content_keys(words: Sequence[str]) -> list[str]:
    """Return the distinct keys of folded words, in order."""
    return [key for key in dict.fromkeys(word_keys(words)) if key]


def _key(word: str) -> str:
    if word in _DROPPED or len(word) < 2:
        return word if word.isdigit() or is_unspaced(word) else ""
    if word[0].isdigit() or is_unspaced(word):
        return word
    if word.isascii():
        return word[: min(_STEM, len(word) - (word[-1] == "s"))]
    return word[:2] if _HANGUL.match(word) else _ARTICLE.sub("", word)[:_STEM]
