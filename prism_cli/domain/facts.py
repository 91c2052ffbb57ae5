"""Facts of a text with their places: numbers with units, dates, names, acronyms, quotations, URLs,
e-mail addresses, DOIs and code, also paths, tags and names of files; and a document in which they
are looked up. Rules without a model, see `fidelity`.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from prism_cli.domain.names import NameSource, acronym, names
from prism_cli.domain.quantities import (
    Pair,
    all_pairs,
    dates,
    named_months,
    quantities,
    unit_alternatives,
)
from prism_cli.domain.units import CURRENCIES, UNITS
from prism_cli.domain.vocabulary import text_language
from prism_cli.domain.words import PlacedWords

CODE = "code"
CHARACTERS = "neighbouring characters"
"""Pairs of Chinese characters, kana or Hangul; not part of any sum."""

_IDENTIFIED, _RELATED = "digits of groups", "ratio"
_UNIT_NAMES = frozenset(UNITS.values()) | CURRENCIES
_LONG_FORMS = [form for form in UNITS if len(form) > 3 and not form.isascii()]

_SIGNS = str.maketrans("’‘‚‛“”„‟–—‐−•‧٪٫٬", "''''\"\"\"\"----··%.,")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_URL = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'，。、）】》]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w./])10\.\d{4,9}/[^\s<>\"'，。、）】》]*\w"  # DOI
)
_ADDRESS = re.compile(r"https?://(?:www\.)?(?:(?:dx\.)?doi\.org/)?")
# Phone numbers, ISBN and others, whose groups of digits are compared as one number.
_IDENTIFIER = re.compile(
    r"(?<![\w.,/+-])(?:\+ ?)?(?!\d{1,3}(?: \d{3})+(?![\d -]))\(?\d++\)?(?:[ /.-]{1,2}\(?\d++\)?)+"
    r"(?!\w|[.,/-]\d)"
)
_SHORT_YEAR = re.compile(r"(?<!\d)(?:1[0-9]|20)\d\d(?!\d)")
_RATIO = re.compile(r"(?<![\d.,:/-])(\d{1,4})[:/](\d{1,4})(?![:/-]|[.,]?\d)")
_NEIGHBOURS = re.compile(r"(?<!\d)(?=(\d{1,4})\D{1,6}(\d{1,4})(?!\d))")
_NO_QUOTE = r"(?!(?:tis|twas|em|til|till|cause|bout|round|s|t|n|k|m)\b)"
# A single quotation mark opens before a letter and behind none, and is no apostrophe: 'tis, '90s.
_QUOTED = re.compile(
    r"\"([^\"\n]{2,1000})\"|«\s?([^«»\n]{2,1000}?)\s?»|»(?=\S)([^«»\n]{2,1000}?)(?<=\S)«"
    r"|[‹›]\s?([^‹›\n]{2,1000}?)\s?[‹›]|「([^「」\n]{1,1000})」|『([^『』\n]{1,1000})』"
    rf"|《([^《》\n]{{1,1000}})》|〈([^〈〉\n]{{1,1000}})〉"
    rf"|(?<![\w'.])'{_NO_QUOTE}(?=[^\W\d_])((?:[^'\n]|(?<=\w)'(?=\w)){{2,1000}}?)(?<![\s'])'(?!\w)"
)
_HAN, _KATAKANA = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "ァ-ヺー"
# Of a Chinese name two characters at either end, since its borders are unknown.
_EAST_ASIAN_NAME = re.compile(
    rf"[{_HAN}]{{1,2}}(?:·[{_HAN}]+)*·[{_HAN}]{{1,2}}|[{_KATAKANA}]+(?:・[{_KATAKANA}]+)+"
    rf"|[{_KATAKANA}]{{3,}}"
)
_CODE = re.compile(
    r"`(?P<ticked>[^`\n]{1,200})`|(?<![\w-])--[a-z][\w-]*|[A-Za-z_][\w.]*\(\)"
    r"|(?<![^\W_])[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?![^\W_])"
    r"|(?<!\w)[#@][^\W\d_]\w+"  # tags and handles
    r"|(?<![\w/.])(?:~|\.{1,2})?/[\w.-]*\w(?:/[\w.-]*\w)+/?"  # paths
    r"|(?<!\w)[A-Za-z]:\\[^\s\"'<>|]*\w"
    r"|(?<![\w./-])(?:[\w.-]+/)*\w[\w-]+(?:\.[a-z]\w+)+(?!\w)"  # names of files and of sites
)
_PAIR = re.compile(rf"(?=([{_HAN}ぁ-ゖ{_KATAKANA}가-힣]{{2}}))")


class Fact(NamedTuple):
    """A fact of a text.

    Attributes:
        entity: the form that is compared.
        shown: the form that is reported.
        start, end: half-open range in the plain text.
    """

    kind: str
    entity: Any
    shown: str
    start: int
    end: int


def unsupported_facts(text: str, source: "FactSource") -> list[tuple[int, int]]:
    """Return the ranges of the facts of `text`, also code, that the source does not have; in
    order."""
    plain_text = plain(text)
    ranges = [
        (fact.start, fact.end)
        for fact in (*facts(plain_text, source), *_code(plain_text))
        if fact.kind != CHARACTERS and not source.holds(fact.kind, fact.entity)
    ]
    if not ranges:
        return []
    starts, ends = _places(text)
    return sorted({(starts[start], ends[end - 1]) for start, end in ranges})


@lru_cache(maxsize=2)
def fact_source(document: str) -> "FactSource":
    """Cache the last documents, since several texts of one document follow each other."""
    return FactSource(document)


class FactSource:
    """A document in which entities are looked up."""

    def __init__(self, document: str) -> None:
        self.text = plain(document)
        self.folded = _folded(self.text)
        self.squeezed = re.sub(r"\s+", "", self.text)
        self.language = text_language(document)
        without_urls = _URL.sub(_blanks, self.text)
        rest = _without(without_urls, [match.span() for match, _ in dates(without_urls)])
        self._texts = tuple(dict.fromkeys((self.text, rest)))
        self.numbers = {pair for text in self._texts for pair in all_pairs(text)}
        self.digits = {digits for digits, _ in self.numbers}
        self.dates = {date for text in {self.text, without_urls} for _, date in dates(text)}
        self.dates |= set(named_months(self.text))
        self.names = NameSource((self.text, without_urls))

    @cached_property
    def spelled(self) -> frozenset[Pair]:
        """The numbers, with those in words."""
        return frozenset(
            pair for text in self._texts for pair in all_pairs(text, self.language, words=True)
        )

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
        return _running_words(self.text)

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

    def _holds_number(self, digits: str, unit: str, words: str = "") -> bool:
        if unit == _IDENTIFIED:
            return digits in self.digits or digits in self.digit_runs
        if unit == _RELATED:
            return tuple(digits.split(":")) in self.neighbours
        pairs = unit_alternatives((digits, unit))
        return (
            (not unit and digits in self.digits)
            or ((digits, "") in self.numbers and unit in self.units)
            or not self.numbers.isdisjoint(pairs)
            or (len(digits) > 6 and not unit and digits in self.digit_runs)
            or not self.spelled.isdisjoint(pairs)
            or (not unit and any(digits == other for other, _ in self.spelled))
            or bool(words and words in self.running_words)
        )


def facts(text: str, source: FactSource) -> Iterator[Fact]:
    """Yield the facts of a plain text, and its CHARACTERS."""
    language = text_language(text) or source.language
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?)")
        address = _ADDRESS.sub("", url.casefold()).rstrip("/")
        yield Fact("url", address, url, match.start(), match.start() + len(url))
    text = _URL.sub(_blanks, text)
    for match in _QUOTED.finditer(text):
        inner = next(filter(None, match.groups()))
        if any(map(str.isalnum, inner)):
            yield Fact("quotation", _running_words(inner), match[0], *match.span())
    dated = dates(text)
    for match, date in dated:
        yield Fact("date", date, match[0], *match.span())
    text = _without(text, [match.span() for match, _ in dated])
    for match in _RATIO.finditer(text):
        yield Fact("number", (f"{match[1]}:{match[2]}", _RELATED), match[0], *match.span())
    identifiers = list(_identifiers(text))
    yield from identifiers
    text = _without(text, [(fact.start, fact.end) for fact in identifiers])
    numbers = list(quantities(text, language, words=True))
    for start, end, pair, is_spelled in numbers:
        words = (_running_words(text[start:end]),) if is_spelled else ()
        yield Fact("number", (*pair, *words), text[start:end].strip(), start, end)
    for match in _EAST_ASIAN_NAME.finditer(text):
        yield Fact("name", (match[0],), match[0], *match.span())
    for match in _PAIR.finditer(text):
        yield Fact(CHARACTERS, match[1], match[1], *match.span(1))
    text = _without(
        text, [(number.start, number.end) for number in numbers if number.pair[1] in _UNIT_NAMES]
    )
    for name in names(text, source.names, language):
        kind, entity = ("acronym", name.words[0]) if name.is_acronym else ("name", name.words)
        yield Fact(kind, entity, text[name.start : name.end], name.start, name.end)


def _identifiers(text: str) -> Iterator[Fact]:
    for match in _IDENTIFIER.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if len(digits) >= 7 and (match[0][0] == "+" or not _SHORT_YEAR.search(match[0])):
            yield Fact("number", (digits, _IDENTIFIED), match[0], *match.span())


def _without(text: str, ranges: Iterable[tuple[int, int]]) -> str:
    """Return `text` with blanks in place of ranges."""
    parts, at = [], 0
    for start, end in sorted(ranges):
        parts += [text[at:start], " " * (end - max(start, at))]
        at = max(end, at)
    return "".join((*parts, text[at:]))


def _blanks(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _code(text: str) -> Iterator[Fact]:
    """Yield code in backticks, identifiers and flags of a plain text."""
    for match in _CODE.finditer(text):
        code = match["ticked"] or match[0]
        entity = re.sub(r"\s+", "", code).removesuffix("()")
        if any(map(str.isalnum, entity)):
            yield Fact(CODE, entity, code, *match.span())


def plain(text: str) -> str:
    """Unify digits, quotation marks and dashes."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    return _OTHER_DIGIT.sub(lambda digit: str(int(digit[0])), text)


def _places(text: str) -> tuple[Sequence[int], Sequence[int]]:
    """Return for each character of the plain text the range of `text` that it is from."""
    if text.isascii():
        return range(len(text)), range(1, len(text) + 1)
    starts: list[int] = []
    ends: list[int] = []
    begin = 0
    for at in range(1, len(text) + 1):
        if at < len(text) and not _separate(text[at - 1], text[at]):
            continue
        size = len(unicodedata.normalize("NFKC", text[begin:at]))
        starts += [begin] * size
        ends += [at] * size
        begin = at
    return starts, ends


def _separate(char: str, follower: str) -> bool:
    """Return whether two characters are normalized independently of each other."""
    if follower.isascii():
        return True
    parts = unicodedata.normalize("NFKC", char) + unicodedata.normalize("NFKC", follower)
    return not unicodedata.combining(follower) and parts == unicodedata.normalize(
        "NFKC", char + follower
    )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _running_words(text: str) -> str:
    return f" {' '.join(PlacedWords(text).words)} "
