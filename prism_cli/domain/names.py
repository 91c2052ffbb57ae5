"""Names and acronyms of texts in scripts with capitals.

A name is a run of capitalized words without function words. Common words are none where wordfreq
is installed: nouns of German, and the first word of a sentence; a word is common if its language
has it and others do not. Other names of scripts without capitals (Arabic, Hindi, Chinese, Thai) are
not read.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from prism_cli.domain.languages import FUNCTION_WORDS
from prism_cli.domain.sentences import sentence_spans
from prism_cli.domain.vocabulary import CODES, word_frequencies

# Latin, Greek, Cyrillic, Armenian.
_CASED = (
    "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u0373\u0376\u0377\u037f\u0386\u0388-\u03ff"
    "\u0400-\u052f\u0531-\u0587\u1e00-\u1fff"
)
_WORD = re.compile(rf"[{_CASED}][{_CASED}0-9&]*(?:['.\-/][{_CASED}0-9&]+)*")
_INFLECTED = re.compile("[\u0370-\u052f\u0531-\u0587\u1f00-\u1fff]")
"""Scripts whose names change their endings."""
_COMMON = frozenset[str]().union(
    *FUNCTION_WORDS.values(),
    str.split(
        "a i he she we you who what when where why how if there here all some each every both "
        "most many after before during while since until although though because however then "
        "than according within without through over under between among another other several"
    ),
)
_WIDESPREAD = ("en", "fr", "es", "it", "de")
"""Languages that names are known in."""
_GERMAN_NAMES = frozenset(
    str.split(
        "deutschland österreich schweiz münchen köln wien hannover sachsen nürnberg hessen münster "
        "rhein amerika montag dienstag mittwoch donnerstag freitag samstag sonntag januar februar "
        "märz april mai juni juli august september oktober november dezember"
    )
)
"""Names that are nearly as frequent as common nouns, and names of days."""
_JUDGED = ("English", "German")
"""Languages whose common words other languages lack."""
_ENDINGS = ("", "s", "es", "ing", "ed")
_LINKS = ("", "s", "n", "es", "en")


class Name(NamedTuple):
    """Words of a name, or an acronym, in the half-open range of a text."""

    words: tuple[str, ...]
    start: int
    end: int
    is_acronym: bool = False


class NameSource:
    """The words of a document in which names are looked up."""

    def __init__(self, texts: Sequence[str]) -> None:
        found = [without_possessive(word) for text in texts for word in set(_WORD.findall(text))]
        joined = [word for word in found if "-" in word or "/" in word]
        found += [part for word in joined for part in re.split(r"[-/]", word)]
        self.words = frozenset(found)

    @cached_property
    def acronyms(self) -> set[str]:
        """The words as acronyms."""
        return set(map(acronym, self.words))

    @cached_property
    def small(self) -> set[str]:
        """The words, ignoring case."""
        return set(map(str.casefold, self.words))

    def holds_word(self, word: str) -> bool:
        """Compare ignoring case and a plural's s; in Greek and Cyrillic other endings, too."""
        if self.small & {word, f"{word}s", word.removesuffix("s")}:
            return True
        return _INFLECTED.match(word) is not None and self._holds_stem(word)

    def holds_acronym(self, name: str) -> bool:
        """Compare a longer one ignoring case: UNESCO, Unesco."""
        return name in self.acronyms or (len(name) > 3 and name.casefold() in self.small)

    def _holds_stem(self, word: str) -> bool:
        stem = word[: max(3, len(word) - 3)]
        for other in self._sorted[bisect_left(self._sorted, stem) :]:
            if not other.startswith(stem):
                return False
            if abs(len(other) - len(word)) <= 3:
                return True
        return False

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.small)


def names(text: str, source: NameSource, language: str) -> Iterator[Name]:
    """Yield acronyms, and names: runs of capitalized words.

    Args:
        source: has the words that are no names at the beginning of a sentence.
        language: of the text, a name of `vocabulary.CODES`; "" if unknown.
    """
    starts = {start for start, _ in sentence_spans(text)}
    run: list[re.Match[str]] = []
    for match in _WORD.finditer(text):
        if run and (is_acronym(match[0]) or text[run[-1].end() : match.start()] != " "):
            yield from _name(run, text, starts, source, language)
            run = []
        if is_acronym(match[0]):
            yield Name((acronym(match[0]),), *match.span(), True)
        elif match[0][0].isupper():
            run.append(match)
        elif run:
            yield from _name(run, text, starts, source, language)
            run = []
    if run:
        yield from _name(run, text, starts, source, language)


def _name(
    run: list[re.Match[str]], text: str, starts: set[int], source: NameSource, language: str
) -> Iterator[Name]:
    begin = run[0].start()
    before = text[:begin].rstrip("\"'([«「*_")
    opens = len(before) in starts or before.rstrip(" ")[-1:] in "\n:;-·"
    first = without_possessive(run[0][0]).casefold()
    if opens and (first in source.words or _may_begin(first, language, alone=len(run) == 1)):
        run = run[1:]
    kept = [
        match
        for match in run
        if len(word := without_possessive(match[0])) > 1
        and word.casefold() not in _COMMON
        and not (language == "German" and is_common_word(word.casefold(), language))
    ]
    if kept:
        words = tuple(without_possessive(match[0]).casefold() for match in kept)
        yield Name(words, kept[0].start(), kept[-1].end())


def _may_begin(word: str, language: str, *, alone: bool) -> bool:
    """Return whether the first word of a sentence is no name for certain."""
    if language not in _JUDGED or word_frequencies() is None or len(word) < 3:
        return alone
    return is_common_word(word, language)


@lru_cache(maxsize=4096)
def is_common_word(word: str, language: str) -> bool:
    """Return whether a word in lower case is common in its language and no name.

    Names are about as frequent in other languages. A common word that other languages have, too,
    such as "system", has an English plural that is about as frequent.
    """
    frequency = word_frequencies()
    if frequency is None or word in _GERMAN_NAMES:
        return False
    code = CODES[language]
    own = frequency(word, code)
    others = [frequency(word, other) for other in _WIDESPREAD if other != code]
    frequent = 4.6 if language == "German" else 2.5
    if own >= 1.5 and (min(others) < 1.2 or (own >= frequent and own - max(others) >= 1.9)):
        return True
    if any(_is_inflected(word.removesuffix(ending), frequency) for ending in _ENDINGS):
        return True
    return (
        language == "German"
        and own < 1.5
        and any(
            word[:at].endswith(link)
            and frequency(word[: at - len(link)], code) >= 3
            and frequency(word[at:], code) >= 3
            for at in range(4, len(word) - 2)
            for link in _LINKS
            if at - len(link) > 2
        )
    )


def _is_inflected(word: str, frequency: Callable[[str, str], float]) -> bool:
    """Return whether a word has an English plural, or third person, that is about as frequent."""
    own = frequency(word, "en")
    others = (frequency(f"{word}{ending}", "en") for ending in ("s", "es"))
    return own >= 3 and any(other >= 3 and abs(own - other) <= 1.3 for other in others)


def is_acronym(word: str) -> bool:
    """Return whether a word has at least two capitals and is mostly capitals and digits."""
    if word[1:].islower():
        return False  # nearly all words
    capitals = sum(char.isupper() for char in word)
    strong = capitals + sum(char.isdigit() for char in word)
    return capitals >= 2 and 2 * strong >= sum(char.isalnum() for char in word)


def acronym(word: str) -> str:
    """Return the acronym without dots and a plural's s."""
    word = without_possessive(word).replace(".", "")
    return word[:-1] if word[-1:] == "s" and word[:-1].isupper() else word


def without_possessive(word: str) -> str:
    """Return the word without 's."""
    return re.sub(r"'s?$", "", word) if "'" in word else word
