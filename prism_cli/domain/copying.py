"""Share of a text that is copied from its document, and share that is new.

Fragments follow Grusky et al. 2018 (Newsroom): from the left, the longest run of words that also
occurs in the document, then the next one after it. Coverage is the share of words in fragments;
density the mean length of the fragment of a word. Novelty follows See et al. 2017: the share of
n-grams that do not occur in the document.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from prism_cli.domain.words import UNSPACED

MAX_WORDS = 50_000
"""Words compared of either text, which bounds the time."""
MAX_NGRAM = 4
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Copying:
    """Counts of copied words and new n-grams.

    Attributes:
        words: words of the text; characters in scripts without spaces.
        copied: words in fragments.
        density: mean fragment length of a word, from 0 to `words`.
        new: n-grams that do not occur in the document, of 1, 2, 3 and 4 words.
        ngrams: all n-grams of the text, of 1, 2, 3 and 4 words.
    """

    words: int
    copied: int
    density: float
    new: tuple[int, ...]
    ngrams: tuple[int, ...]


def copying(text: str, document: str) -> Copying:
    """Compare words, ignoring case and punctuation."""
    source, first_places, numbers = _source(document)
    target = _as_characters(text, numbers)
    lengths = list(_fragments(target, source, first_places))
    new, ngrams = [], []
    for size, first_place in enumerate(first_places, 1):
        grams = [target[start : start + size] for start in range(len(target) - size + 1)]
        ngrams.append(len(grams))
        new.append(sum(gram not in first_place for gram in grams))
    density = sum(length * length for length in lengths) / len(target) if target else 0.0
    return Copying(len(target), sum(lengths), density, tuple(new), tuple(ngrams))


@lru_cache(maxsize=2)
def _source(document: str) -> tuple[str, list[dict[str, int]], dict[str, str]]:
    """Return the document as characters, the first places of its n-grams, and the character of each
    word. Cached, since several texts of one document follow each other."""
    numbers: dict[str, str] = {}  # each distinct word becomes one character, for str.find
    source = _as_characters(document, numbers)
    return source, [_first_places(source, size) for size in range(1, MAX_NGRAM + 1)], numbers


def _as_characters(text: str, numbers: dict[str, str]) -> str:
    matches = (word[0] for word, _ in zip(_WORD.finditer(text.casefold()), range(MAX_WORDS)))  # noqa: B905
    return "".join(numbers.setdefault(word, chr(len(numbers))) for word in matches)


def _first_places(source: str, size: int) -> dict[str, int]:
    return {source[at : at + size]: at for at in range(len(source) - size, -1, -1)}


def _fragments(target: str, source: str, places: Sequence[dict[str, int]]) -> Iterator[int]:
    """Yield lengths of the fragments, from left to right.

    The first place of a longer run is never before the first place of a shorter one, so one pass
    through the source finds a fragment, at the speed of str.find.

    Args:
        places: first place in `source` of each of its n-grams, of 1, 2, … words.
    """
    at, end, size = 0, len(target), len(source)
    while at < end:
        length, place = 0, 0
        for first_place in places:
            gram = target[at : at + length + 1]
            if len(gram) == length or gram not in first_place:
                break
            length, place = length + 1, first_place[gram]
        while length >= len(places) and at + length < end:
            if place + length >= size or source[place + length] != target[at + length]:
                place = source.find(target[at : at + length + 1], place + 1)
                if place < 0:
                    break
            length += 1
        if length:
            yield length
        at += length or 1
