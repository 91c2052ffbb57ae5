"""Facts of a text with their places: numbers with units, dates, names, acronyms, quotations, URLs,
e-mail addresses, DOIs and code, also paths, tags and names of files; and a document in which they
are looked up. Rules without a model, see `fidelity`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from prism_cli.domain.dates import dates, named_dates
from prism_cli.domain.fact_source import IDENTIFIED, RELATED, FactSource, running_words, urls
from prism_cli.domain.names import names
from prism_cli.domain.plain_text import blank_out, places, plain
from prism_cli.domain.quantities import quantities
from prism_cli.domain.units import CURRENCIES, UNITS
from prism_cli.domain.vocabulary import text_language

CODE = "code"
CHARACTERS = "neighbouring characters"
"""Pairs of Chinese characters, kana or Hangul; not part of any sum."""

_LONG_MONTH = 5
_UNIT_NAMES = frozenset(UNITS.values()) | CURRENCIES

_ADDRESS = re.compile(r"https?://(?:www\.)?(?:(?:dx\.)?doi\.org/)?")
# Phone numbers, ISBN and others, whose groups of digits are compared as one number.
_IDENTIFIER = re.compile(
    r"(?<![\w.,/+-])(?:\+ ?)?(?!\d{1,3}(?: \d{3})+(?![\d -]))\(?\d++\)?(?:[ /.-]{1,2}\(?\d++\)?)+"
    r"(?!\w|[.,/-]\d)"
)
_SHORT_YEAR = re.compile(r"(?<!\d)(?:1[0-9]|20)\d\d(?!\d)")
_RATIO = re.compile(r"(?<![\d.,:/-])(\d{1,4})[:/](\d{1,4})(?![:/-]|[.,]?\d)")
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
    r"`(?P<ticked>[^`\n]{1,200})`|(?<![\w-])--[a-z][\w-]*|(?<![\w.])[A-Za-z_][\w.]{0,100}+\(\)"
    r"|(?<![^\W_])[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?![^\W_])"
    r"|(?<!\w)[#@][^\W\d_]\w+"  # tags and handles
    r"|(?<![\w/.])(?:~|\.{1,2})?/[\w.-]*\w(?:/[\w.-]*\w)+/?"  # paths
    r"|(?<!\w)[A-Za-z]:\\[^\s\"'<>|]*\w"
    r"|(?<![\w./-])(?:[\w.-]{1,100}+/)*\w[\w-]{1,100}(?:\.[a-z]\w+)+(?!\w)"  # files, sites
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


def unsupported_facts(text: str, source: FactSource) -> list[tuple[int, int]]:
    """Return the ranges of the facts of `text`, also code, that the source does not have; in
    order."""
    plain_text = plain(text)
    if not (new := source.new_sentences(plain_text)):
        return []
    ranges = [
        (fact.start, fact.end)
        for fact in (*facts(plain_text, source), *_code(plain_text))
        if fact.kind != CHARACTERS
        and touches((fact.start, fact.end), new)
        and not source.holds(fact.kind, fact.entity)
    ]
    if not ranges:
        return []
    starts, ends = places(text)
    return sorted({(starts[start], ends[end - 1]) for start, end in ranges})


def touches(span: tuple[int, int], ranges: Sequence[tuple[int, int]]) -> bool:
    """Return whether a range has a character of others."""
    return any(start < span[1] and end > span[0] for start, end in ranges)


def facts(text: str, source: FactSource) -> Iterator[Fact]:
    """Yield the facts of a plain text, and its CHARACTERS."""
    language = text_language(text) or source.language
    found = urls(text)
    for match in found:
        url = match[0].rstrip(".,;:!?)")
        address = _ADDRESS.sub("", url.casefold()).rstrip("/")
        yield Fact("url", address, url, match.start(), match.start() + len(url))
    text = blank_out(text, [match.span() for match in found])
    for match in _QUOTED.finditer(text):
        inner = next(filter(None, match.groups()))
        if any(map(str.isalnum, inner)):
            yield Fact("quotation", running_words(inner), match[0], *match.span())
    for find in (dates, partial(named_dates, least=_LONG_MONTH)):
        listed = list(find(text))
        for match, date in listed:
            yield Fact("date", date, match[0], *match.span())
        text = blank_out(text, [match.span() for match, _ in listed])
    for match in _RATIO.finditer(text) if ":" in text or "/" in text else ():
        yield Fact("number", (f"{match[1]}:{match[2]}", RELATED), match[0], *match.span())
    identifiers = list(_identifiers(text))
    yield from identifiers
    text = blank_out(text, [(fact.start, fact.end) for fact in identifiers])
    numbers = list(quantities(text, language, words=True))
    for start, end, pair, is_spelled in numbers:
        words = (running_words(text[start:end]),) if is_spelled else ()
        yield Fact("number", (*pair, *words), text[start:end].strip(), start, end)
    if not text.isascii():
        for match in _EAST_ASIAN_NAME.finditer(text):
            yield Fact("name", (match[0],), match[0], *match.span())
        for match in _PAIR.finditer(text):
            yield Fact(CHARACTERS, match[1], match[1], *match.span(1))
    text = blank_out(
        text, [(number.start, number.end) for number in numbers if number.pair[1] in _UNIT_NAMES]
    )
    for name in names(text, source.names, language):
        kind, entity = ("acronym", name.words[0]) if name.is_acronym else ("name", name.words)
        yield Fact(kind, entity, text[name.start : name.end], name.start, name.end)


def _identifiers(text: str) -> Iterator[Fact]:
    for match in _IDENTIFIER.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if len(digits) >= 7 and (match[0][0] == "+" or not _SHORT_YEAR.search(match[0])):
            yield Fact("number", (digits, IDENTIFIED), match[0], *match.span())


def _code(text: str) -> Iterator[Fact]:
    """Yield code in backticks, identifiers and flags of a plain text."""
    for match in _CODE.finditer(text):
        code = match["ticked"] or match[0]
        entity = re.sub(r"\s+", "", code).removesuffix("()")
        if any(map(str.isalnum, entity)):
            yield Fact(CODE, entity, code, *match.span())
