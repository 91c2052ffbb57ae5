"""How much of a text is copied from its document, and how much is new.

Fragments as Grusky et al. 2018 (Newsroom) take them: from the left, the longest run of words that
stands in the document as well, then on behind it. Coverage is the share of words in fragments;
density the mean length of the fragment that a word stands in. Novelty after See et al. 2017: the
share of n-grams that do not stand in the document.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prism_cli.domain.words import UNSPACED

MAX_WORDS = 50_000
"""Of either text that are looked at: time stays bounded whatever comes."""
MAX_NGRAM = 4
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Copying:
    """What was found.

    Attributes:
        words: of the text; characters in scripts without spaces.
        copied: those that stand in fragments.
        density: words, from 0 up to `words`.
        new: n-grams that do not stand in the document, of 1, 2, 3 and 4 words.
        ngrams: all n-grams of the text, likewise.
    """

    words: int
    copied: int
    density: float
    new: tuple[int, ...]
    ngrams: tuple[int, ...]


def copying(text: str, document: str) -> Copying:
    """Compare words, in any case and without punctuation."""
    numbers: dict[str, str] = {}  # each distinct word as one character, so that str.find compares
    source, own = (_as_characters(one, numbers) for one in (document, text))
    places = [_first_places(source, size) for size in range(1, MAX_NGRAM + 1)]
    lengths = list(_fragments(own, source, places))
    new, ngrams = [], []
    for size, known in enumerate(places, 1):
        grams = [own[at : at + size] for at in range(len(own) - size + 1)]
        ngrams.append(len(grams))
        new.append(sum(gram not in known for gram in grams))
    density = sum(length * length for length in lengths) / len(own) if own else 0.0
    return Copying(len(own), sum(lengths), density, tuple(new), tuple(ngrams))


def _as_characters(text: str, numbers: dict[str, str]) -> str:
    found = (match[0] for match, _ in zip(_WORD.finditer(text.casefold()), range(MAX_WORDS)))  # noqa: B905
    return "".join(numbers.setdefault(word, chr(len(numbers))) for word in found)


def _first_places(source: str, size: int) -> dict[str, int]:
    return {source[at : at + size]: at for at in range(len(source) - size, -1, -1)}


def _fragments(own: str, source: str, places: Sequence[dict[str, int]]) -> Iterator[int]:
    """Lengths of the fragments, from left to right.

    The first place of a longer run is never before the first place of a shorter one, so one walk
    through the source finds a fragment, at the speed of str.find.

    Args:
        places: first place in `source` of each of its n-grams, of 1, 2, … words.
    """
    at, end, size = 0, len(own), len(source)
    while at < end:
        length, place = 0, 0
        for known in places:
            gram = own[at : at + length + 1]
            if len(gram) == length or gram not in known:
                break
            length, place = length + 1, known[gram]
        while length >= len(places) and at + length < end:
            if place + length >= size or source[place + length] != own[at + length]:
                place = source.find(own[at : at + length + 1], place + 1)
                if place < 0:
                    break
            length += 1
        if length:
            yield length
        at += length or 1
