"""Facts of a text with their places: numbers with units, dates, names, acronyms, quotations, URLs
and code; and a document in which they are looked up. Rules without a model, see `fidelity`.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from prism_cli.domain.languages import FUNCTION_WORDS
from prism_cli.domain.quantities import dates, quantities, quantities_with_ranges
from prism_cli.domain.sentences import sentence_spans

CODE = "code"
CHARACTERS = "neighbouring characters"
"""Pairs of Chinese characters, kana or Hangul; not part of any sum."""

_SIGNS = str.maketrans("’‘“”„‟–—‐−•‧٪٫٬", '\'\'""""----··%.,')
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'，。、）】》]+")
_QUOTED = re.compile(
    r"\"([^\"\n]{2,200})\"|«\s?([^«»\n]{2,200}?)\s?»|「([^「」\n]{1,200})」|『([^『』\n]{1,200})』"
    r"|《([^《》\n]{1,200})》"
)
_LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_WORD = re.compile(rf"[{_LATIN}][{_LATIN}0-9&]*(?:['.\-/][{_LATIN}0-9&]+)*")
_COMMON = frozenset[str]().union(
    *FUNCTION_WORDS.values(),
    str.split(
        "a i he she we you who what when where why how if there here all some each every both "
        "most many after before during while since until although though because however then "
        "than according within without through over under between among another other several"
    ),
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
        without_urls = _URL.sub(_blanks, self.text)
        rest = _without_dates(without_urls)
        texts = dict.fromkeys((self.text, without_urls, rest))
        self.numbers = {number for text in texts for number in quantities_with_ranges(text)}
        self.digits = {digits for digits, _ in self.numbers}
        self.dates = {date for text in {self.text, without_urls} for _, date in dates(text)}
        found_words = [_without_possessive(word) for text in texts for word in _WORD.findall(text)]
        found_words += [part for word in found_words for part in re.split(r"[-/]", word)]
        self.words = frozenset(found_words)
        self.acronyms = {_acronym(word) for word in found_words}
        self.small = {word.casefold() for word in found_words}

    def holds(self, kind: str, entity: Any) -> bool:
        if kind == "number":
            digits, unit = entity
            return entity in self.numbers or (not unit and digits in self.digits)
        if kind == "date":
            return any(
                all(part in (None, other) for part, other in zip(entity, date, strict=True))
                for date in self.dates
            )
        if kind == "name":
            return all(self._holds_word(word) for word in entity)
        if kind == "acronym":
            parts = [_acronym(part) for part in re.split(r"[-/]", entity)]
            return entity in self.acronyms or all(map(self._holds_acronym, parts))
        if kind == "quotation":
            return entity in self.folded
        return entity in (self.text if kind == "url" else self.squeezed)

    def _holds_acronym(self, acronym: str) -> bool:
        """Compare a longer one ignoring case: UNESCO, Unesco."""
        return acronym in self.acronyms or (len(acronym) > 3 and acronym.casefold() in self.small)

    def _holds_word(self, word: str) -> bool:
        """Compare ignoring case and a plural's s."""
        forms = {word, f"{word}s", word.removesuffix("s")}
        return bool(forms & self.small) or (not word.isascii() and word in self.squeezed)


def facts(text: str, source: FactSource) -> Iterator[Fact]:
    """Yield the facts of a plain text, and its CHARACTERS."""
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?)")
        yield Fact("url", url, url, match.start(), match.start() + len(url))
    text = _URL.sub(_blanks, text)
    for match in _QUOTED.finditer(text):
        inner = next(filter(None, match.groups())).strip(" .,;:!?。，！？")
        if any(map(str.isalnum, inner)):
            yield Fact("quotation", _folded(inner), match[0], *match.span())
    for match, date in dates(text):
        yield Fact("date", date, match[0], *match.span())
    text = _without_dates(text)
    yield from _words(text, source)
    for match, pair in quantities(text):
        yield Fact("number", pair, match[0].strip(), *match.span())
    for match in _EAST_ASIAN_NAME.finditer(text):
        yield Fact("name", (match[0],), match[0], *match.span())
    for match in _PAIR.finditer(text):
        yield Fact(CHARACTERS, match[1], match[1], *match.span(1))


def _without_dates(text: str) -> str:
    """Return `text` with blanks for its dates."""
    parts, at = [], 0
    for start, end in sorted(match.span() for match, _ in dates(text)):
        parts += [text[at:start], " " * (end - start)]
        at = end
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


def _words(text: str, source: FactSource) -> Iterator[Fact]:
    """Yield acronyms, and names: runs of capitalized words."""
    starts = {start for start, _ in sentence_spans(text)}
    run: list[re.Match[str]] = []
    for match in _WORD.finditer(text):
        if run and (_is_acronym(match[0]) or text[run[-1].end() : match.start()] != " "):
            yield from _name(run, text, starts, source)
            run = []
        if _is_acronym(match[0]):
            yield Fact("acronym", _acronym(match[0]), match[0], *match.span())
        elif match[0][0].isupper():
            run.append(match)
        elif run:
            yield from _name(run, text, starts, source)
            run = []
    if run:
        yield from _name(run, text, starts, source)


def _name(
    run: list[re.Match[str]], text: str, starts: set[int], source: FactSource
) -> Iterator[Fact]:
    begin = run[0].start()
    before = text[:begin].rstrip("\"'([«「*_")
    opens = len(before) in starts or before.rstrip(" ")[-1:] in "\n:;-·"
    words = [_without_possessive(match[0]) for match in run]
    if opens and (len(words) == 1 or words[0].casefold() in source.words):
        words, run = words[1:], run[1:]
    kept = [word for word in words if word.casefold() not in _COMMON and len(word) > 1]
    if kept:
        yield Fact(
            "name",
            tuple(word.casefold() for word in kept),
            " ".join(kept),
            run[0].start(),
            run[-1].end(),
        )


def _is_acronym(word: str) -> bool:
    capitals = sum(char.isupper() for char in word)
    strong = capitals + sum(char.isdigit() for char in word)
    return capitals >= 2 and 2 * strong >= sum(char.isalnum() for char in word)


def _acronym(word: str) -> str:
    """Return the acronym without dots and a plural's s."""
    word = _without_possessive(word).replace(".", "")
    return word[:-1] if word[-1:] == "s" and word[:-1].isupper() else word


def _without_possessive(word: str) -> str:
    return re.sub(r"'s?$", "", word)


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
    return " ".join(text.casefold().replace('"', "").split())
