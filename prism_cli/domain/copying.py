"""Share of a text that is copied from its document, and share that is new.

Fragments follow Grusky et al. 2018 (Newsroom): from the left, the longest run of words that also
occurs in the document, then the next one after it. Coverage is the share of words in fragments;
density the mean length of the fragment of a word. Novelty follows See et al. 2017: the share of
n-grams that do not occur in the document.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

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
    source = _source(document)
    target = _as_characters(text, source.characters)
    words = len(target)
    ngrams = tuple(max(0, words - size) for size in range(MAX_NGRAM))
    if target in source.text:
        return Copying(words, words, float(words), (0,) * MAX_NGRAM, ngrams)
    lengths = list(_fragments(target, source.text, source.first_places))
    new = tuple(
        sum(target[at : at + size] not in first_place for at in range(words - size + 1))
        for size, first_place in enumerate(source.first_places, 1)
    )
    density = sum(length * length for length in lengths) / words
    return Copying(words, sum(lengths), density, new, ngrams)


class _Source:
    """A document as characters, one for each distinct word, for str.find.

    Attributes:
        characters: the character of each word of the document, and of its texts so far.
    """

    def __init__(self, document: str) -> None:
        characters: defaultdict[str, str] = defaultdict(lambda: chr(len(characters)))
        self.characters = characters
        self.text = _as_characters(document, characters)

    @cached_property
    def first_places(self) -> list[dict[str, int]]:
        """The first place of each n-gram, of 1, 2, 3 and 4 words."""
        return [
            {self.text[at : at + size]: at for at in range(len(self.text) - size, -1, -1)}
            for size in range(1, MAX_NGRAM + 1)
        ]


@lru_cache(maxsize=2)
def _source(document: str) -> _Source:
    """Cache the last documents, since several texts of one document follow each other."""
    return _Source(document)


def _as_characters(text: str, characters: Mapping[str, str]) -> str:
    words = islice(_WORD.finditer(text.casefold()), MAX_WORDS)
    return "".join([characters[word[0]] for word in words])


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
