"""Repeated evidence: a text that says nothing beyond the texts of better documents.

High precision: a sentence counts as said only if one earlier sentence has all its facts (numbers,
dates, names and others, by `entity_fidelity`), nearly all its content words, and as many negations.
Facts are never combined over several sentences, which could make a statement that nobody made.
"""

import re
from collections import Counter, defaultdict
from math import ceil
from typing import NamedTuple

from prism_cli.domain.content_words import content_keys
from prism_cli.domain.fidelity import entity_fidelity
from prism_cli.domain.sentences import sentences
from prism_cli.domain.words import PlacedWords

MIN_SHARED = 0.8
"""Least share of a sentence's content words that the earlier sentence has."""
_MAX_COMPARED = 64
"""Earlier sentences with one word in common that are compared, best document first."""
_NEGATION = re.compile(
    r"(?<!\w)(?:not|no|never|none|without|cannot|nicht|kein\w*|nie|ohne|ne|pas|jamais|sans|nunca|sin"
    r"|не|нет|без|لا|ليس|لم|नहीं|न)(?!\w)|n['’]t(?!\w)|[不没沒无無未非]|ない|ません|않|없"
)


class _Sentence(NamedTuple):
    owner: int
    text: str
    keys: frozenset[str]
    digits: frozenset[str]
    negations: int


class SaidBefore:
    """Sentences of the texts of one query so far, best document first."""

    def __init__(self) -> None:
        self._said: list[_Sentence] = []
        self._places: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, text: str, owner: int) -> int | None:
        """Add a text, unless it repeats earlier ones.

        Args:
            owner: the document of the text.

        Returns:
            None for a text that says something new; for a repeated one the owner of most of the
            sentences that it repeats, on ties the first.
        """
        owners: list[int] = []
        own = [
            _Sentence(
                owner,
                sentence,
                frozenset(content_keys(PlacedWords(sentence).words)),
                frozenset(re.findall(r"\d+", sentence)),
                len(_NEGATION.findall(sentence.casefold())),
            )
            for sentence in sentences(text)
        ]
        for sentence in own:
            earlier = self._holder(sentence)
            if earlier is None:
                break
            owners.append(earlier)
        if own and len(owners) == len(own):
            return Counter(sorted(owners)).most_common(1)[0][0]
        for sentence in own:
            for key in sentence.keys:
                self._places[key].append(len(self._said))
            self._said.append(sentence)
        return None

    def _holder(self, sentence: _Sentence) -> int | None:
        """Return the owner of the first sentence that says what `sentence` says.

        A sentence that shares enough words has one of the rarest ones, so only those are looked up.
        """
        keys = sentence.keys
        rarest = sorted(keys, key=lambda key: (len(self._places[key]), key))
        needed = len(keys) - ceil(MIN_SHARED * len(keys)) + 1
        places = {place for key in rarest[:needed] for place in self._places[key][:_MAX_COMPARED]}
        for place in sorted(places):
            earlier = self._said[place]
            if (
                len(keys & earlier.keys) >= MIN_SHARED * len(keys)
                and sentence.negations == earlier.negations
                and sentence.digits <= earlier.digits
                and not entity_fidelity(sentence.text, earlier.text).missing
            ):
                return earlier.owner
        return None
