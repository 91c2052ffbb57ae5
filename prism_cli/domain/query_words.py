"""Closed word lists for queries: words without content, and words that determine the meaning.
English, German, French and Spanish."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class QueryWords:
    """Word lists of one language, in lower case.

    Attributes:
        dropped: words that may be removed from a query.
        openers: verbs that begin a yes-or-no question.
        hinges: matches words that determine the meaning: negation, cause, contrast, stance,
            conditions.
    """

    dropped: frozenset[str]
    openers: frozenset[str]
    hinges: re.Pattern[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> re.Pattern[str]:
    """Return a pattern of comma-separated phrases; a star matches any ending."""
    phrases = "|".join(part.strip().replace("*", r"\w*") for part in text.split(","))
    return re.compile(rf"(?<!\w)(?:{phrases})(?!\w)")


_ENGLISH_OPENERS = "is are was were do does did has have had can could will would may might must"
_GERMAN_OPENERS = (
    "ist sind war waren hat haben hatte hatten kann können konnte konnten wird werden wurde wurden "
    "darf dürfen muss müssen gibt"
)
_FRENCH_OPENERS = (
    "est est-ce sont était étaient a ont avait peut peuvent doit doivent fut va vont fait"
)
_SPANISH_OPENERS = "es son era eran fue fueron está están hay ha han puede pueden hace"

LANGUAGES = {
    "English": QueryWords(
        dropped=_words(
            f"{_ENGLISH_OPENERS} a an the what what's whats which who who's whom whose where "
            "where's when when's how how's be been being am done having shall of in on at to for "
            "from by with as into about it its it's this that that's these those there there's "
            "their they them he she his her him i i'm my me we our us you your and any some please"
        ),
        openers=_words(f"{_ENGLISH_OPENERS} should isn't aren't doesn't don't didn't"),
        hinges=_phrases(
            r"\w+n't, not, no, never, none, nobody, nothing, neither, nor, without, except, "
            "excluding, besides, unless, cannot, other than, apart from, instead, rather, "
            "why, because, due to, leads to, lead to, leading to, led to, results in, result in, "
            "resulted in, cause, causes, caused, causing, "
            "differ*, versus, vs, better, worse, than, compare*, comparison, or, "
            "should, opinion*, whether, if, both, either"
        ),
    ),
    "German": QueryWords(
        dropped=_words(
            f"{_GERMAN_OPENERS} der die das den dem des ein eine einen einem einer eines was wer "
            "wen wem wessen welche welcher welches welchen welchem wo woher wohin wann wie heißt "
            "heißen worden sein von vom im in am an ans auf zu zum zur bei beim mit für aus um als "
            "und es er sie ihr ihre ihren seine seinen ich mein meine wir unser unsere man dieser "
            "diese dieses diesem diesen sich denn bitte mir"
        ),
        openers=_words(f"{_GERMAN_OPENERS} soll sollen sollte sollten"),
        hinges=_phrases(
            "nicht, nichts, kein*, nie, niemals, niemand, ohne, außer, weder, sondern, statt, "
            "warum, weshalb, wieso, weil, wegen, aufgrund, führt, führen, führte, führten, "
            "verursach*, ursache*, unterschied*, unterscheid*, versus, vs, besser, schlechter, "
            "vergl*, oder, ob, wenn, falls, sowohl, soll, sollen, sollte, sollten, meinung*"
        ),
    ),
    "French": QueryWords(
        dropped=_words(
            f"{_FRENCH_OPENERS} le la les un une des de du d' l' au aux en dans sur par pour avec "
            "à y et que qu' qui quoi quel quelle quels quelles lequel laquelle où quand comment "
            "qu'est-ce c'est ce cet cette ces s' se j' je m' on il elle ils elles nous vous leur "
            "leurs son sa ses mon ma mes été être"
        ),
        openers=_words(_FRENCH_OPENERS),
        hinges=_phrases(
            "ne, n'*, pas, sans, sauf, aucun*, jamais, rien, ni, excepté, hormis, plutôt, "
            "pourquoi, parce, cause*, causé, entraîne*, provoque*, conséquence*, "
            "différen*, versus, vs, mieux, meilleur*, pire, compar*, ou, si, faut-il, opinion*"
        ),
    ),
    "Spanish": QueryWords(
        dropped=_words(
            f"{_SPANISH_OPENERS} el la los las un una unos unas lo de del en a al por para con se "
            "su sus y e que qué cual cuál cuales cuáles quien quién quienes quiénes donde dónde "
            "cuando cuándo como cómo este esta estos estas ese esa me mi nos le les ser sido"
        ),
        openers=_words(f"{_SPANISH_OPENERS} debe deben debería"),
        hinges=_phrases(
            "no, nunca, nada, nadie, ningún*, ningun*, sin, excepto, salvo, ni, sino, "
            "por qué, porque, debido, causa*, provoca*, consecuencia*, "
            "diferen*, versus, vs, mejor, peor, compar*, o, u, si, debe*, opinión, opiniones"
        ),
    ),
}

WITHOUT_CONTENT = frozenset[str]().union(*(language.dropped for language in LANGUAGES.values()))
"""Words of any language that may be removed from a query; negations are not among them."""
_OPENERS = frozenset[str]().union(*(language.openers for language in LANGUAGES.values()))
_CHOICES = _words("or oder ou o u versus vs")


def is_answered_in_its_words(words: Sequence[str]) -> bool:
    """Return whether an answer can have the query's words alone, from its folded words.

    A query that begins as a yes-or-no question or that names a choice has such answers.
    """
    return bool(words) and (words[0] in _OPENERS or not _CHOICES.isdisjoint(words))
