"""Citations: the parts of a document that a text rests on.

Longest common runs of words first; of several places in the document the one next to the
neighbouring run. Runs are joined over small edits. A sentence that is paraphrased is compared by
its content words with the document's sentences, one or two adjacent ones. Places are offsets in
the strings as they are.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from prism_cli.domain.common_runs import MAX_EDIT, Run, common_runs, cut_run
from prism_cli.domain.content_words import content_keys, word_keys
from prism_cli.domain.sentences import MAX_SENTENCE_CHARS, sentence_spans
from prism_cli.domain.words import PlacedWords, is_between_characters, is_unspaced

ENOUGH = 0.5
"""Least share of a sentence's content words in the sentences that it cites."""
MIN_CONTENT = 4
"""Least content of a citation that is not all of its sentence: two words, or four characters."""
STRETCH = 10
"""Least size of a part of a sentence that is judged on its own: five words, or ten characters."""
LONG_RUN = 14
"""A run of this size is cited though most of its sentence is new: seven words."""
_PART_WORDS = 60
_NONE = frozenset[str]()


class Citation(NamedTuple):
    """Half-open ranges of code points: of a text, and of the document's part that it rests on."""

    start: int
    end: int
    source_start: int
    source_end: int


class Cited(NamedTuple):
    """Citations of a text, in order and without overlap; and ranges that rest on nothing."""

    citations: list[Citation]
    unsupported: list[tuple[int, int]]


def cite(text: str, document: str, *, body: int = 0, query: str = "") -> Cited:
    """Return the citations of `text`.

    Args:
        body: where a title before the document's text ends; nothing is cited across it.
        query: a sentence that repeats it is not unsupported.
    """
    citations, unsupported = _cited(text, document, body)
    if query and unsupported:
        keys = frozenset(content_keys(PlacedWords(query).words))
        unsupported = [span for span in unsupported if _is_new(text[slice(*span)], keys)]
    return Cited(list(citations), list(unsupported))


@lru_cache(maxsize=4)
def _cited(text: str, document: str, body: int) -> Cited:
    """Return the citations without regard to a query; the last ones are cached."""
    return _Citing(text, _source(document, body)).cited()


def _is_new(text: str, query: frozenset[str]) -> bool:
    """Return whether the words are not the query's."""
    keys = set(content_keys(PlacedWords(text).words))
    return not keys or len(keys & query) < max(1.0, ENOUGH * len(keys))


class _Source:
    """A document's words. A word that no text has separates title and body."""

    def __init__(self, document: str, body: int) -> None:
        self.text = document
        placed = PlacedWords(document)
        self.words, self.starts, self.ends = placed.words, placed.starts, placed.ends
        self.border = bisect_left(self.starts, body) if body else 0
        for values, border in ((self.starts, body), (self.ends, body)):
            values.insert(self.border, border)
        self.words.insert(self.border, "\n")

    @cached_property
    def keys(self) -> list[str]:
        """The key of each word."""
        return word_keys(self.words)


@lru_cache(maxsize=2)
def _source(document: str, body: int) -> _Source:
    return _Source(document, body)


class _Citing:
    def __init__(self, text: str, source: _Source) -> None:
        self.text, self.source = text, source
        self.target = PlacedWords(text)
        words = self.target.words
        self.sizes = [1 if is_unspaced(word) else 2 for word in words]
        self.keys = word_keys(words)
        self._places: dict[str, list[int]] | None = None

    def cited(self) -> Cited:
        runs = common_runs(self.target.words, self.source.words)
        run_starts, run_ends = [run.start for run in runs], [run.end for run in runs]
        starts = self.target.starts
        citations: list[Citation] = []
        unsupported: list[tuple[int, int]] = []
        for start, end in sentence_spans(self.text):
            first, last = bisect_left(starts, start), bisect_left(starts, end)
            inside = [
                cut_run(run, first, last)
                for run in runs[bisect_right(run_ends, first) : bisect_left(run_starts, last)]
            ]
            self._sentence(first, last, (start, end), inside, citations, unsupported)
        return Cited(citations, unsupported)

    def _sentence(
        self,
        first: int,
        last: int,
        span: tuple[int, int],
        runs: Sequence[Run],
        citations: list[Citation],
        unsupported: list[tuple[int, int]],
    ) -> None:
        """Add what the words [first, last) of a sentence cite, and what of it rests on nothing."""
        chains = self._chains(runs)
        for _ in range(2):  # without a stray run its neighbours may join
            kept = [chain for chain in chains if self._is_cited(chain, first, last)]
            chains = self._chains([run for chain in kept for run in chain])
        sizes = [sum(sum(self.sizes[run.start : run.end]) for run in chain) for chain in chains]
        near = (
            self.source.starts[chains[0][0].source]
            if chains
            else citations[-1].source_end
            if citations
            else 0
        )
        if 2 * sum(sizes) < sum(self.sizes[first:last]) and max(sizes, default=0) < LONG_RUN:
            place = self._closest(first, last, near)
            if place:
                citations.append(Citation(*span, *place))
                return
        at = first
        for chain in chains:
            self._stretch(at, chain[0].start, near, citations, unsupported)
            citations.append(self._citation(chain, span, citations[-1].end if citations else 0))
            near, at = citations[-1].source_end, chain[-1].end
        if chains:
            self._stretch(at, last, near, citations, unsupported)
        else:
            unsupported.append(span)

    def _is_cited(self, chain: Sequence[Run], first: int, last: int) -> bool:
        """Return whether a chain is more than a stray word of the sentence [first, last)."""
        held, content = sum(self._content(*run[:2]) for run in chain), self._content(first, last)
        words = sum(run.end - run.start for run in chain)
        return held >= MIN_CONTENT or (held == content and (held > 0 or 1 < words == last - first))

    def _stretch(
        self,
        first: int,
        last: int,
        near: int,
        citations: list[Citation],
        unsupported: list[tuple[int, int]],
    ) -> None:
        """Cite, or report, words between the runs of a sentence, if they are several."""
        if sum(self.sizes[first:last]) < STRETCH or self._content(first, last) < MIN_CONTENT + 2:
            return
        span = self.target.starts[first], self.target.ends[last - 1]
        if place := self._closest(first, last, near):
            citations.append(Citation(*span, *place))
        else:
            unsupported.append(span)

    def _content(self, first: int, last: int) -> int:
        return sum(self.sizes[at] for at in range(first, last) if self.keys[at])

    def _chains(self, runs: Sequence[Run]) -> list[list[Run]]:
        """Join runs over small edits."""
        chains: list[list[Run]] = []
        for run in runs:
            if chains and self._continues(chains[-1], run):
                chains[-1].append(run)
            else:
                chains.append([run])
        return chains

    def _continues(self, chain: Sequence[Run], run: Run) -> bool:
        last = chain[-1]
        gap, source_gap = run.start - last.end, run.source - last.source_end
        most = 2 * MAX_EDIT if self.sizes[run.start] == 1 else MAX_EDIT
        border = last.source_end <= self.source.border < run.source
        held = sum(part.end - part.start for part in chain)
        return 0 <= source_gap <= most and gap <= min(most, held) and not border

    def _citation(self, chain: Sequence[Run], span: tuple[int, int], least: int) -> Citation:
        """Return the citation of a chain, with the signs around it that are the same."""
        text, document = self.text, self.source.text
        first, last = self.target.starts[chain[0].start], self.target.ends[chain[-1].end - 1]
        start, low = first, self.source.starts[chain[0].source]
        end, high = last, self.source.ends[chain[-1].source_end - 1]
        while (
            start > max(least, span[0]) and low and _same_sign(text[start - 1], document[low - 1])
        ):
            start, low = start - 1, low - 1
        while end < span[1] and high < len(document) and _same_sign(text[end], document[high]):
            end, high = end + 1, high + 1
        while start < first and _split(text, start, document, low):
            start, low = start + 1, low + 1
        while end > last and _split(text, end, document, high):
            end, high = end - 1, high - 1
        return Citation(start, end, low, high)

    def _closest(self, first: int, last: int, near: int) -> tuple[int, int] | None:
        """Return the document's sentence, or two adjacent ones, with enough of the content words.

        Args:
            near: offset in the document that decides between equal ones.
        """
        keys = set(content_keys(self.target.words[first:last]))
        needed = max(1, min(2, len(keys)), ENOUGH * len(keys))
        by_key = self._document_places()
        places = {key: by_key.get(key, ()) for key in keys}
        at, most = _densest(places, self.source.starts, near)
        if most < needed:
            return None
        spans = _sentences_near(self.source, self.source.starts[at])
        held = [_keys_within(places, self.source.starts, *span) for span in spans]
        one = _best(list(zip(held, spans, strict=True)), near)
        two = _best(
            [
                (held[at] | held[at + 1], (spans[at][0], spans[at + 1][1]))
                for at in range(len(spans) - 1)
            ],
            near,
        )
        if one[0] >= needed and one[0] + 1 >= two[0]:
            return one[1]
        return two[1] if two[0] >= needed else None

    def _document_places(self) -> dict[str, list[int]]:
        """Return the indices of the document's words that share a content word with the text."""
        if self._places is None:
            places: dict[str, list[int]] = {key: [] for key in self.keys if key}
            for at, key in enumerate(self.source.keys):
                if key in places:
                    places[key].append(at)
            self._places = places
        return self._places


def _best(
    options: Sequence[tuple[set[str], tuple[int, int]]], near: int
) -> tuple[int, tuple[int, int]]:
    """Return the number of keys and the range of the option with most; of equals the nearest."""
    ranked = [(-len(keys), abs(span[0] - near), span) for keys, span in options]
    most, _, span = min(ranked, default=(0, 0, (0, 0)))
    return -most, span


def _densest(
    places: Mapping[str, Sequence[int]], starts: Sequence[int], near: int
) -> tuple[int, int]:
    """Return the word at the middle of the part of the document with most keys, of equals the
    nearest, and the number of keys there."""
    parts: defaultdict[int, set[str]] = defaultdict(set)
    for key, indices in places.items():
        for part in {at // _PART_WORDS for at in indices}:
            parts[part].add(key)
    best = (0, 0, 0)
    for part, held in parts.items():
        after = parts.get(part + 1, _NONE)
        if len(held) + len(after) >= -best[0]:
            middle = min((part + 1) * _PART_WORDS, len(starts) - 1)
            best = min(best, (-len(held | after), abs(starts[middle] - near), middle))
    return best[2], -best[0]


def _keys_within(
    places: Mapping[str, Sequence[int]], starts: Sequence[int], start: int, end: int
) -> set[str]:
    low, high = bisect_left(starts, start), bisect_left(starts, end)
    return {
        key
        for key, indices in places.items()
        if bisect_left(indices, low) < bisect_left(indices, high)
    }


def _sentences_near(source: _Source, offset: int) -> list[tuple[int, int]]:
    """Return the document's sentences around an offset, on its side of the border."""
    border = source.starts[source.border]
    low, high = (0, border) if offset < border else (border, len(source.text))
    reach = MAX_SENTENCE_CHARS + 100
    start, end = max(low, offset - reach), min(high, offset + reach)
    spans = [
        (start + first, start + last) for first, last in sentence_spans(source.text[start:end])
    ]
    return spans[start > low and len(spans) > 1 : len(spans) - (end < high) or None]


def _split(text: str, place: int, document: str, source: int) -> bool:
    """Return whether a character with its combining marks is split at a place."""
    return not (is_between_characters(text, place) and is_between_characters(document, source))


def _same_sign(char: str, other: str) -> bool:
    return char == other and not char.isalnum() and not char.isspace()
