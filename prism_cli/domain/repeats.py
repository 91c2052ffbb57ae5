"""Repeated evidence: a text that says nothing beyond the texts of better documents.

High precision: a sentence counts as said only if one earlier sentence has all its facts (numbers,
dates, names and others, by `entity_fidelity`), nearly all its content words in the same order, as
many negations, and the same words of comparison.
Facts are never combined over several sentences, which could make a statement that nobody made.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
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
    r"(?<!\w)(?:not|no|never|none|nobody|nothing|nor|without|cannot|nicht|kein\w*|nie|ohne|niet|geen"
    r"|zonder|inte|ikke|utan|uden|uten|ne|pas|jamais|sans|nunca|sin|non|mai|senza|não|nem|sem|nu|bez"
    r"|tidak|bukan|không|не|ни|нет|без|لا|ليس|لم|لن|नहीं|न|לא|אין|בלי)(?!\w)"
    r"|n['’]t(?!\w)|[不没沒無无未非]|ない|なかった|ません|않|없|ไม่"
)
_COMPARISON = re.compile(
    r"(?<!\w)(?:more|less|fewer|most|least|before|after|above|below|over|under|up|down|mehr|weniger"
    r"|vor|nach|über|unter|plus|moins|avant|après|más|menos|antes|después|più|meno|prima|dopo|mais"
    r"|depois|meer|minder|voor|больше|меньше|до|после)(?!\w)"
)


class _Sentence(NamedTuple):
    owner: int
    text: str
    keys: tuple[str, ...]
    digits: frozenset[str]
    negations: int
    comparisons: tuple[str, ...]


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
        own = [_sentence(owner, sentence) for sentence in sentences(text)]
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
            shared = set(keys).intersection(earlier.keys)
            if (
                len(shared) >= MIN_SHARED * len(keys)
                and sentence.negations == earlier.negations
                and sentence.comparisons == earlier.comparisons
                and _same_order(
                    [key for key in keys if key in shared],
                    [key for key in earlier.keys if key in shared],
                )
                and sentence.digits <= earlier.digits
                and not entity_fidelity(sentence.text, earlier.text).missing
            ):
                return earlier.owner
        return None


def _sentence(owner: int, text: str) -> _Sentence:
    folded = text.casefold()
    return _Sentence(
        owner,
        text,
        tuple(content_keys(PlacedWords(text).words)),
        frozenset(re.findall(r"\d+", text)),
        len(_NEGATION.findall(folded)),
        tuple(sorted(_COMPARISON.findall(folded))),
    )


def _same_order(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether two orders of the same keys are equal, except for words that moved from one
    end to the other: "in Paris the dog bit the man", not "the man bit the dog in Paris". Numbers
    may be elsewhere, in their own order."""
    for digits in (True, False):
        ours, theirs = (
            [key for key in keys if key[0].isdigit() is digits] for keys in (first, second)
        )
        if ours != theirs:
            turn = ours.index(theirs[0])
            if digits or len(ours) < 3 or ours[turn:] + ours[:turn] != theirs:
                return False
    return True
