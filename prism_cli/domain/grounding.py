"""Grounding: texts whose facts and words the document or the query has.

A sentence of the evidence with an unsupported fact or a broken word, or one that rests on nothing
in the document, is replaced by the document's sentence that it rests on, else left out. Where
nothing usable remains, the document's sentences closest to the query are the evidence. So is the
contribution made of one where the model's is faulty, or says what the query says and no more.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property, lru_cache
from math import log
from typing import Literal, NamedTuple

from prism_cli.domain.citations import cite
from prism_cli.domain.content_words import content_keys, word_keys
from prism_cli.domain.evidence_text import says_something, shares_words
from prism_cli.domain.extraction import (
    best_statement,
    chosen_indices,
    contribution_of,
    joined_evidence,
)
from prism_cli.domain.fact_source import fact_source
from prism_cli.domain.facts import touches, unsupported_facts
from prism_cli.domain.languages import language_difference
from prism_cli.domain.plain_text import plain
from prism_cli.domain.query_words import WITHOUT_CONTENT, is_answered_in_its_words
from prism_cli.domain.sentences import MAX_SENTENCE_CHARS, sentence_spans
from prism_cli.domain.vocabulary import broken_words, text_language
from prism_cli.domain.words import PlacedWords, is_unspaced, last_boundary

MAX_SENTENCES = 2
"""Sentences of the document as evidence, as the extractive generator's."""
MIN_SHARED = 1 / 3
"""Least share of a sentence's content words in the sentence that replaces it."""
_HINT_WEIGHT = 0.5
_MOST_TRIED = 50

Range = tuple[int, int]
Origin = Literal["generated", "selected", "repaired", "extracted"]


class Grounded(NamedTuple):
    """Texts after grounding.

    Attributes:
        faults: unsupported facts and broken words of the model's own texts.
    """

    evidence: str
    contribution: str
    origin: Origin
    faults: int


class GroundedDocument:
    """A document with its query, in which texts are grounded.

    Args:
        body: where a title before the document's text ends.
    """

    def __init__(self, document: str, body: int, query: str) -> None:
        self.document, self.query = document, query
        self._body = body
        self._facts = fact_source(f"{document}\n{query}")
        self._query_words = PlacedWords(query).words

    def faults(self, text: str) -> list[Range]:
        """Return the ranges of the unsupported facts and broken words of a text, in order."""
        if not self._facts.new_sentences(plain(text)):
            return []
        language = text_language(text) or self._facts.language  # of a translation its own
        broken = broken_words(text, self._words, language)
        return sorted({*unsupported_facts(text, self._facts), *broken})

    def grounded(
        self, contribution: str | None, evidence: str | None, *, selected: bool = False
    ) -> Grounded:
        """Return texts without faults, made from the model's own as far as possible.

        Args:
            contribution, evidence: None where the model wrote none.
            selected: the evidence is sentences of the document, and stays.
        """
        faults = sum(len(self.faults(text)) for text in (contribution, evidence) if text)
        origin: Origin = "selected" if selected else "generated"
        repaired = evidence or ""
        if not selected:
            repaired = self._repaired(evidence) if self._is_usable(evidence) else ""
        if repaired != evidence:
            origin = "repaired" if self._is_usable(repaired) else "extracted"
        if origin == "extracted" or not repaired:
            origin, repaired = "extracted", self.extract(contribution or "")
        if contribution is None or not self._stands(contribution):
            contribution = self.state(repaired)
        return Grounded(repaired, contribution, origin, faults)

    def extract(self, hint: str = "") -> str:
        """Return the document's sentences closest to the query, verbatim.

        Args:
            hint: a text whose words count, too, but less.
        """
        if not self._spans:
            return self._beginning()
        closeness = self._closeness(hint)
        chosen = chosen_indices(closeness, MAX_SENTENCES) if any(closeness) else [0]
        for indices in (chosen, *([index] for index in _best_first(closeness))):
            text = joined_evidence(self.document, [self._spans[index] for index in indices])
            if not self.faults(text):
                return text
        return joined_evidence(self.document, [self._spans[index] for index in chosen])

    def _beginning(self) -> str:
        text = self.document.strip()
        return text[: last_boundary(text, 0, MAX_SENTENCE_CHARS)]

    def state(self, hint: str = "") -> str:
        """Return a contribution made from the closest sentence, by the extractive rules."""
        if not self._spans:
            return self._beginning()
        closeness = self._closeness(hint)
        best = best_statement(closeness, chosen_indices(closeness, MAX_SENTENCES), self._sentences)
        for index in (best, *_best_first(closeness)):
            text = contribution_of(self._sentences[index], self.document)
            if not self.faults(text):
                return text
        return contribution_of(self._sentences[best], self.document)

    def _is_usable(self, text: str | None) -> bool:
        return bool(text and says_something(text) and shares_words(text, self.document))

    def _stands(self, contribution: str) -> bool:
        """Return whether a contribution is usable, has no fault, and says more than the query."""
        return (
            self._is_usable(contribution)
            and not self._repeats_query(contribution)
            and not self.faults(contribution)
        )

    def _repeats_query(self, contribution: str) -> bool:
        """Return whether each word is the query's, but for endings and words without content.

        A negation or a single letter of its own is more; so is any answer to a question whose
        answer has the question's words.
        """
        if is_answered_in_its_words(self._query_words):
            return False
        keys = {*self._query_words, *content_keys(self._query_words)}
        words = PlacedWords(contribution).words
        return not any(
            word not in WITHOUT_CONTENT and keys.isdisjoint((word, key))
            for word, key in zip(words, word_keys(words), strict=True)
        )

    def _repaired(self, text: str | None) -> str:
        """Return `text` with each faulty sentence replaced or left out; "" where none is left."""
        text = text or ""
        faults = self.faults(text) + self._baseless(text)
        if not faults:
            return text
        spans = sentence_spans(text)
        kept = [text[slice(*span)] for span in spans if not touches(span, faults)]
        used: set[int] = set()
        pieces: list[tuple[str, str]] = []  # a sentence, and what separates it from the next
        for start, end in spans:
            if not touches((start, end), faults):
                pieces.append((text[start:end], _separator(text, end)))
                continue
            index = self._replacement(text[start:end], used)
            if index is not None and not any(self._sentences[index] in other for other in kept):
                used.add(index)
                pieces.append(
                    (self._sentences[index], _separator(self.document, self._spans[index][1]))
                )
        while pieces:
            places, joined = _joined(pieces)
            faults = self.faults(joined)
            if not faults:
                return joined
            left = [
                piece
                for piece, place in zip(pieces, places, strict=True)
                if not touches(place, faults)
            ]
            pieces = left if len(left) < len(pieces) else []
        return ""

    def _baseless(self, text: str) -> list[Range]:
        """Return the sentences that rest on nothing in the document or repeat the query, but "No."
        and the like; none in another language, where a translation shares no words."""
        unsupported = set(cite(text, self.document, body=self._body).unsupported)
        spans = [
            span
            for span in sentence_spans(text)
            if (span in unsupported and says_something(text[slice(*span)]))
            or PlacedWords(text[slice(*span)]).words == self._query_words
        ]
        return spans if spans and language_difference(text, self.document) is None else []

    def _replacement(self, sentence: str, used: set[int]) -> int | None:
        """Return the document's sentence that has most of the content of `sentence`, if enough."""
        keys = content_keys(PlacedWords(sentence).words)
        weights = {key: self._rarity(key) for key in keys}
        needed = max(min(2, len(keys)), MIN_SHARED * len(keys))
        best: tuple[float, int] | None = None
        for index, counts in enumerate(self._counts):
            shared = [weights[key] for key in keys if key in counts]
            if index in used or len(shared) < needed:
                continue
            best = max(best or (0.0, 0), (round(sum(shared), 6), -index))
        return None if best is None or not best[0] else -best[1]

    def _closeness(self, hint: str) -> list[float]:
        """Return BM25 (k1 .9, b .4) of each sentence for the query and, half as much, a hint."""
        weights = dict.fromkeys(content_keys(PlacedWords(hint).words), _HINT_WEIGHT)
        weights |= dict.fromkeys(content_keys(PlacedWords(self.query).words), 1.0)
        mean = sum(counts.total() for counts in self._counts) / len(self._counts) or 1.0
        closeness = []
        for counts in self._counts:
            norm = 0.9 * (0.6 + 0.4 * counts.total() / mean)
            scores = (
                weight * self._rarity(key) * counts[key] / (counts[key] + norm)
                for key, weight in weights.items()
                if key in counts
            )
            closeness.append(round(sum(scores), 6))
        return closeness

    def _rarity(self, key: str) -> float:
        held = self._sentence_counts[key]
        return log(1 + (len(self._counts) - held + 0.5) / (held + 0.5))

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(PlacedWords(f"{self.document}\n{self.query}").words)

    @cached_property
    def _spans(self) -> list[Range]:
        """The sentences of the document; those of the title where there is no other."""
        body = [
            (self._body + start, self._body + end)
            for start, end in sentence_spans(self.document[self._body :])
        ]
        return body or sentence_spans(self.document)

    @cached_property
    def _sentences(self) -> list[str]:
        return [self.document[start:end] for start, end in self._spans]

    @cached_property
    def _counts(self) -> list[Counter[str]]:
        return [Counter(content_keys(PlacedWords(text).words)) for text in self._sentences]

    @cached_property
    def _sentence_counts(self) -> Counter[str]:
        return Counter(key for counts in self._counts for key in counts)


@lru_cache(maxsize=2)
def grounded_document(document: str, body: int, query: str) -> GroundedDocument:
    """Return the document with its query; the last ones are cached."""
    return GroundedDocument(document, body, query)


def _best_first(closeness: Sequence[float]) -> list[int]:
    order = sorted(range(len(closeness)), key=lambda index: (-closeness[index], index))
    return order[:_MOST_TRIED]


def _separator(text: str, end: int) -> str:
    """Return what separates a sentence that ends there from another one."""
    if text[end : end + 1].isspace():
        return " "
    last = next((char for char in reversed(text[:end]) if char.isalnum()), "")
    return "" if is_unspaced(last) else " "


def _joined(pieces: Sequence[tuple[str, str]]) -> tuple[list[Range], str]:
    """Return the place of each sentence in the text of all, and that text."""
    places: list[Range] = []
    text = ""
    for number, (sentence, _) in enumerate(pieces):
        text += pieces[number - 1][1] if number else ""
        places.append((len(text), len(text) + len(sentence)))
        text += sentence
    return places, text
