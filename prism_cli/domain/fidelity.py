"""Entity fidelity: numbers, dates, names and quotations of a text that occur in its document.

Rules without a model indicate invented content. They do not detect
- a single-word name at the beginning of a sentence, where every word is capitalized,
- names in scripts without capitals, except Katakana, names with a middle dot, and quoted titles:
  for Chinese, Japanese and Korean the share of neighbouring characters is reported beside the
  entities, outside their sum, since a faithful paraphrase has new ones, too,
- wrong combinations of correct entities.
German nouns count as names.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from prism_cli.domain.languages import FUNCTION_WORDS
from prism_cli.domain.quantities import dates, quantities, quantities_with_ranges
from prism_cli.domain.sentences import sentence_spans

CLASSES = ("number", "date", "name", "acronym", "quotation", "url")
CHARACTERS = "neighbouring characters"
"""Pairs of Chinese characters, kana or Hangul; not part of any sum."""

_SIGNS = str.maketrans("’‘“”„‟–—‐−•‧", '\'\'""""----··')
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
_PAIR = re.compile(rf"(?=([{_HAN}ぁ-ゖ{_KATAKANA}가-힣]{{2}}))")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Entities of one text, and those found in its document.

    Attributes:
        total: distinct entities of the text by class, and pairs under CHARACTERS.
        found: those that occur in the document.
        missing: the entities that do not, verbatim from the text.
    """

    total: Counter[str]
    found: Counter[str]
    missing: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """Share of the entities found in the document, from 0 to 1; None for a text without any."""
        total = sum(self.total[kind] for kind in CLASSES)
        return sum(self.found[kind] for kind in CLASSES) / total if total else None


@dataclass
class FidelityFigures:
    """Entities of many texts."""

    total: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def add(self, fidelity: Fidelity) -> None:
        """Add the entities of a text."""
        self.total += fidelity.total
        self.found += fidelity.found

    def merge(self, other: "FidelityFigures") -> None:
        """Add the entities of `other`."""
        self.total += other.total
        self.found += other.found

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per class that occurs, one for all classes, one for CHARACTERS."""
        lines = {kind: (kind,) for kind in CLASSES} | {"all": CLASSES, CHARACTERS: (CHARACTERS,)}
        rows: list[dict[str, Any]] = []
        for name, kinds in lines.items():
            total, found = (
                sum(counts[kind] for kind in kinds) for counts in (self.total, self.found)
            )
            if total or name == "all":
                share = round(found / total, 4) if total else None
                rows.append({"entities": name, "in texts": total, "found": found, "share": share})
        return rows


def entity_fidelity(text: str, document: str) -> Fidelity:
    """Find the entities of `text` in `document`, each counted once in its class."""
    source = _source(document)
    total: Counter[str] = Counter()
    found: Counter[str] = Counter()
    missing: list[str] = []
    seen: set[tuple[str, Any]] = set()
    for kind, entity, shown in _entities(_plain(text), source):
        if (kind, entity) in seen:
            continue
        seen.add((kind, entity))
        total[kind] += 1
        if source.holds(kind, entity):
            found[kind] += 1
        elif kind != CHARACTERS:
            missing.append(shown)
    return Fidelity(total, found, tuple(missing))


@lru_cache(maxsize=2)
def _source(document: str) -> "_Source":
    """Cache the last documents, since several texts of one document follow each other."""
    return _Source(document)


class _Source:
    """A document in which entities are looked up."""

    def __init__(self, document: str) -> None:
        self.text = _plain(document)
        self.folded = _folded(self.text)
        self.squeezed = re.sub(r"\s+", "", self.text)
        self.numbers = set(quantities_with_ranges(self.text))
        self.digits = {digits for digits, _ in self.numbers}
        self.dates = [date for _, date in dates(self.text)]
        found_words = [_without_possessive(match[0]) for match in _WORD.finditer(self.text)]
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


def _entities(text: str, source: _Source) -> Iterator[tuple[str, Any, str]]:
    """Yield (class, compared form, verbatim form) of a plain text."""
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?)")
        yield "url", url, url
    text = _URL.sub(" ", text)
    for match in _QUOTED.finditer(text):
        inner = next(filter(None, match.groups())).strip(" .,;:!?。，！？")
        if any(map(str.isalnum, inner)):
            yield "quotation", _folded(inner), match[0]
    for match, date in dates(text):
        yield "date", date, match[0]
        text = text[: match.start()] + " " * len(match[0]) + text[match.end() :]
    yield from _words(text, source)
    for number, pair in quantities(text):
        yield "number", pair, number[0].strip()
    for match in _EAST_ASIAN_NAME.finditer(text):
        yield "name", (match[0],), match[0]
    for match in _PAIR.finditer(text):
        yield CHARACTERS, match[1], match[1]


def _words(text: str, source: _Source) -> Iterator[tuple[str, Any, str]]:
    """Yield acronyms, and names: runs of capitalized words."""
    starts = {start for start, _ in sentence_spans(text)}
    run: list[re.Match[str]] = []
    for match in _WORD.finditer(text):
        if run and (_is_acronym(match[0]) or text[run[-1].end() : match.start()] != " "):
            yield from _name(run, text, starts, source)
            run = []
        if _is_acronym(match[0]):
            yield "acronym", _acronym(match[0]), match[0]
        elif match[0][0].isupper():
            run.append(match)
        elif run:
            yield from _name(run, text, starts, source)
            run = []
    if run:
        yield from _name(run, text, starts, source)


def _name(
    run: list[re.Match[str]], text: str, starts: set[int], source: _Source
) -> Iterator[tuple[str, Any, str]]:
    begin = run[0].start()
    before = text[:begin].rstrip("\"'([«「*_")
    opens = len(before) in starts or before.rstrip(" ")[-1:] in "\n:;-·"
    words = [_without_possessive(match[0]) for match in run]
    if opens and (len(words) == 1 or words[0].casefold() in source.words):
        words = words[1:]
    kept = [word for word in words if word.casefold() not in _COMMON and len(word) > 1]
    if kept:
        yield "name", tuple(word.casefold() for word in kept), " ".join(kept)


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


def _plain(text: str) -> str:
    """Unify digits, quotation marks and dashes."""
    return unicodedata.normalize("NFKC", text).translate(_SIGNS)


def _folded(text: str) -> str:
    return " ".join(text.casefold().replace('"', "").split())
