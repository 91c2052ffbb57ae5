"""A document in which the facts of texts are looked up."""

import re
from functools import cached_property, lru_cache
from typing import Any

from prism_cli.domain.dates import Date, dates, named_dates
from prism_cli.domain.names import NameSource, acronym
from prism_cli.domain.plain_text import blank_out, plain
from prism_cli.domain.quantities import Pair, all_pairs, unit_alternatives
from prism_cli.domain.sentences import sentence_spans
from prism_cli.domain.units import UNITS
from prism_cli.domain.vocabulary import text_language
from prism_cli.domain.words import PlacedWords

IDENTIFIED, RELATED = "digits of groups", "ratio"
"""Instead of a unit: digits of several groups are compared as one number; two numbers in order."""
_URL = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'，。、）】》]+|(?<![\w.+-])[\w.+-]{1,64}+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w./])10\.\d{4,9}/[^\s<>\"'，。、）】》]*\w"  # DOI
)
_URL_SIGNS = ("://", "www.", "@", "10.")
_NEIGHBOURS = re.compile(r"(?<!\d)(?=(\d{1,4})\D{1,6}(\d{1,4})(?!\d))")
_LONG_FORMS = [form for form in UNITS if len(form) > 3 and not form.isascii()]
_CLOSED = "。！？｡"
"""Signs after which a sentence begins without white space."""
_OPENING = re.compile(rf"(?<=[\s{_CLOSED}])")


class FactSource:
    """A document in which entities are looked up."""

    def __init__(self, document: str) -> None:
        self.text = plain(document)

    @cached_property
    def language(self) -> str:
        """Its language, by `text_language`."""
        return text_language(self.text)

    @cached_property
    def folded(self) -> str:
        """The text ignoring case and white space of other kinds."""
        return " ".join(self.text.casefold().split())

    @cached_property
    def squeezed(self) -> str:
        """The text without white space."""
        return "".join(self.text.split())

    @cached_property
    def numbers(self) -> frozenset[Pair]:
        """The numbers with their units, also those of dates and addresses."""
        rest = blank_out(self._without_urls, [match.span() for match, _ in self._dated])
        texts = dict.fromkeys((self.text, rest))
        return frozenset(pair for text in texts for pair in all_pairs(text))

    @cached_property
    def digits(self) -> frozenset[str]:
        """The numbers without units."""
        return frozenset(digits for digits, _ in self.numbers)

    @cached_property
    def spelled(self) -> frozenset[Pair]:
        """The numbers, with those in words."""
        return frozenset(all_pairs(self.text, self.language, words=True))

    @cached_property
    def dates(self) -> frozenset[Date]:
        """The dates, and the months and days of the week that it names."""
        listed = [date for _, date in self._dated]
        if self._without_urls != self.text:
            listed += [date for _, date in dates(self.text)]
        return frozenset((*listed, *(date for _, date in named_dates(self.text))))

    @cached_property
    def names(self) -> NameSource:
        """The words that names are looked up in."""
        return NameSource(tuple(dict.fromkeys((self.text, self._without_urls))))

    @cached_property
    def _without_urls(self) -> str:
        return blank_out(self.text, [match.span() for match in urls(self.text)])

    @cached_property
    def _dated(self) -> list[tuple[re.Match[str], Date]]:
        return dates(self._without_urls)

    @cached_property
    def units(self) -> frozenset[str]:
        """The units that it names, also apart from numbers, as tables do."""
        words = {UNITS.get(word, "") for word in self.folded.split()}
        words |= {UNITS[form] for form in _LONG_FORMS if form in self.folded}
        return frozenset(words | {unit for _, unit in self.numbers})

    @cached_property
    def digit_runs(self) -> str:
        """The text without what separates groups of digits."""
        return re.sub(r"(?<=\d)[\s()./-]{1,3}(?=\d)", "", self.text)

    @cached_property
    def neighbours(self) -> frozenset[tuple[str, str]]:
        """Numbers next to each other."""
        return frozenset(_NEIGHBOURS.findall(self.text))

    @cached_property
    def running_words(self) -> str:
        """All words, a blank between them and around."""
        return running_words(self.text)

    def new_sentences(self, text: str) -> list[tuple[int, int]]:
        """Return the sentences of a plain text that are not verbatim in the document."""
        spans = sentence_spans(text)
        return [span for span in spans if not self._has_sentence(text[slice(*span)])]

    def _has_sentence(self, sentence: str) -> bool:
        at = self.text.find(sentence)
        while at >= 0:
            end = at + len(sentence)
            before, after = self.text[at - 1 : at], self.text[end : end + 1]
            opens = not before or before.isspace() or before in _CLOSED
            if opens and (not after or after == "\n" or _ends(sentence[-1], after)):
                return True
            opening = _OPENING.search(self.text, at + 1)
            at = self.text.find(sentence, opening.start()) if opening else -1
        return False

    def holds(self, kind: str, entity: Any) -> bool:
        """Return whether the document has a fact."""
        if kind == "number":
            return self._holds_number(*entity)
        if kind == "date":
            year, *day = entity
            return any(
                all(part in (None, other) for part, other in zip(day, date[1:], strict=True))
                and (year in (None, date[0]) or (not date[0] and str(year) in self.digits))
                for date in self.dates
            )
        if kind == "name":
            return all(
                self.names.holds_word(word) or (not word.isascii() and word in self.squeezed)
                for word in entity
            )
        if kind == "acronym":
            parts = [acronym(part) for part in re.split(r"[-/]", entity)]
            return entity in self.names.acronyms or all(map(self.names.holds_acronym, parts))
        if kind == "quotation":
            return entity in self.running_words
        if kind == "url":
            return re.search(rf"(?<!\w){re.escape(entity)}(?![\w-])", self.folded) is not None
        return entity in self.squeezed

    def _ends_run(self, digits: str) -> bool:
        """Return whether groups of digits begin or end with these ones."""
        return (
            re.search(rf"(?<!\d){re.escape(digits)}|{re.escape(digits)}(?!\d)", self.digit_runs)
            is not None
        )

    def _holds_number(self, digits: str, unit: str, words: str = "") -> bool:
        if unit == IDENTIFIED:
            return digits in self.digits or self._ends_run(digits)
        if unit == RELATED:
            return tuple(digits.split(":")) in self.neighbours
        pairs = unit_alternatives((digits, unit))
        return (
            (not unit and digits in self.digits)
            or ((digits, "") in self.numbers and unit in self.units)
            or not self.numbers.isdisjoint(pairs)
            or (len(digits) > 6 and not unit and self._ends_run(digits))
            or not self.spelled.isdisjoint(pairs)
            or (not unit and any(digits == other for other, _ in self.spelled))
            or bool(words and words in self.running_words)
        )


@lru_cache(maxsize=2)
def fact_source(document: str) -> FactSource:
    """Cache the last documents, since several texts of one document follow each other."""
    return FactSource(document)


def urls(text: str) -> list[re.Match[str]]:
    """Return the URLs, e-mail addresses and DOIs of a plain text."""
    return list(_URL.finditer(text)) if any(sign in text for sign in _URL_SIGNS) else []


def running_words(text: str) -> str:
    """Return the words of a text, a blank between them and around."""
    return f" {' '.join(PlacedWords(text).words)} "


def _ends(last: str, follower: str) -> bool:
    """Return whether a sentence with that last sign ends before another one."""
    return last in _CLOSED or (last in ".!?…।؟" and (follower.isspace() or follower in "\"')]»"))
