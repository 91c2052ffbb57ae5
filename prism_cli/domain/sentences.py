"""Sentences of a text in any script, by rules: verbatim, in order, only white space is lost.

Abbreviations, initials, decimals, list numbers and quotations do not end a sentence; Chinese,
Japanese, Arabic, Hindi and other full stops do. Text without any is split at white space.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from prism_cli.domain.words import is_between_characters, last_boundary

MAX_SENTENCE_CHARS = 600
"""A longer sentence is split at a clause, else at white space, else between two characters."""

_CLOSERS = "\"'”’»›)\\]}」』】）》〉"
_STOP = re.compile(
    # Full stops that need no space after them, with closing quotes and brackets.
    rf"[。！？｡︒]+[{_CLOSERS}]*"
    # Other stops end a sentence before white space; footnote marks such as [12] belong to it.
    # The lookbehind and the possessive quantifiers keep the time linear for a million dots.
    rf"|(?<![.!?…‽؟۔।॥።։])[.!?…‽؟۔।॥።։]++[{_CLOSERS}]*+(?:\[\d{{1,3}}\])*+(?=\s)"
)
# A blank line, or a line that begins a list item, always ends a sentence.
_BREAK = re.compile(r"\n[^\S\n]*\n\s*|\n(?=[^\S\n]*(?:[-*•‣◦]|\d{1,3}[.)])[^\S\n])|[\x0b\f\u2029]")
# \w lacks the vowel signs of Devanagari.
_LAST_WORD = re.compile(r"((?:[^\W\d_]|[\u0900-\u0903\u093a-\u094f])+(?:\.[^\W\d_]+)*)\.$")
_NEXT_WORD = re.compile(r"\s*[\"'“‘«‹(\[]*([^\W_]+)?")
_INITIAL_BEFORE = re.compile(r"(?:^|[\s(.\"“-]|(?<!\w)')[^\W\d_]\.$")
# Not behind a year: "In 1905 A. Einstein"
_UNIT_BEFORE = re.compile(r"\d\s(?:ms|ft|hl|[ghlmst])\.$|(?<![12]\d\d)\d\s[AJKNVW]\.$")
_ORDINAL_BEFORE = re.compile(r"(?:^|\s)\d{1,2}\.$")
# "bis zum 18. Geburtstag", "in der 3. Klasse"
_GERMAN_ORDINAL_BEFORE = re.compile(r"\s(?:beim|de[mnrs]|im|vom|zu[mr])\s\d{1,2}\.$")
_CLAUSE = re.compile(r"[;:]\s+|[；：]\s*|[,，、–—]\s+|[，、]|\s[-–—]\s")
# No sentence ends after these.
_NEVER_LAST = frozenset(
    str.split(
        "mr mrs ms mx dr prof rev hon pres gov sen rep gen col maj capt lt sgt cmdr st mt ft "
        "fig figs eq eqs sec no nos vol vols ch pp ed eds vs cf ca approx e.g i.e viz resp al "
        "dept est art nr hrsg bzw z.b d.h u.a vgl ing hl dhr mevr mme mlle sr sra dra "
        "डॉ प्रो पं"
    )
)
# A sentence may end after these: it does where the next word is one that often begins one.
_MAYBE_LAST = frozenset(
    str.split(
        "inc ltd co corp jr etc a.m p.m u.s u.k u.n e.u d.c ph.d m.d b.a m.a b.c a.d usw jan "
        "feb mar apr jun jul aug sep sept oct nov dec ee uu janv févr juil déc"
    )
)
# "Il sig. Rossi" (Danish "han vasker sig." ends there), "Prof. Dr. med. Weber"
_TITLE_BEFORE = re.compile(
    r"\b(?:(?:[Ii]l|[ad]al|del|al|un) sig|Sig|Dr\. (?:med|phil|jur|rer|rer\. nat))\.$"
)
# "Abb. 3", "Bahnhofstr. 5"
_NUMBERED_BEFORE = re.compile(r"(?:\b(?:Abb|Tab)|[Ss]tr)\.$")
# "am 3. Oktober", "im 19. Jahrhundert"
_COUNTED = frozenset(
    str.split(
        "januar februar märz april mai juni juli august september oktober november dezember "
        "jahrhundert jahrhunderts"
    )
)
_BEGINNERS = frozenset(
    str.split(
        "a after all also although an and another as at because before both but by during each "
        "for from he her here his how however i if in it its many more most my no not of on one "
        "other our she since so some such that the their then there these they this those "
        "though to under until we what when where which while who why with you your"
    )
)


def sentences(text: str) -> list[str]:
    """Return the sentences of `text`, stripped; only those with a letter or a digit.

    A sentence is a slice of `text`. One longer than MAX_SENTENCE_CHARS is split into several.
    """
    return [text[start:end] for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each of `sentences`."""
    return list(_sentence_spans(text))


@lru_cache(maxsize=4)
def _sentence_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Cache the last texts, since several measures read the same sentences."""
    spans: list[tuple[int, int]] = []
    begin = 0
    for line_break in _BREAK.finditer(text):
        spans += _line_spans(text, begin, line_break.start())
        begin = line_break.end()
    spans += _line_spans(text, begin, len(text))
    return tuple(spans)


def _line_spans(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the sentences between two breaks."""
    start = begin
    for stop in _STOP.finditer(text, begin, end):
        if not _ends_here(text, start, stop, end):
            continue
        place = stop.end()
        while place < end and not is_between_characters(text, place):
            place += 1
        if place - start < 12 and not _has_letter(text, start, place):
            # "1." belongs to what it numbers.
            continue
        yield from _pieces(text, start, place)
        start = place
    yield from _pieces(text, start, end)


def _ends_here(text: str, start: int, stop: re.Match[str], end: int) -> bool:
    mark = stop[0]
    if mark[0] in "。！？｡︒।॥።։۔؟":
        return True
    follower = _NEXT_WORD.match(text, stop.end(), end)
    word = (follower and follower[1]) or ""
    if word[:1].islower():
        return False
    if not mark.startswith(".") or mark.startswith(".."):
        return True
    head = text[max(start, stop.start() - 40) : stop.start() + 1]
    last = _LAST_WORD.search(head.rsplit(None, 1)[-1])
    if last is None:
        counted = word.casefold() in _COUNTED and _ORDINAL_BEFORE.search(head)
        return not (counted or (word.istitle() and _GERMAN_ORDINAL_BEFORE.search(head)))
    if _UNIT_BEFORE.search(head, max(0, len(head) - 5)):
        return True
    name = last[1].casefold()
    if name == "no":
        # "No. New ones are dear." and "no. BT-25"
        return word.istitle()
    if _TITLE_BEFORE.search(head) or (word.isdigit() and _NUMBERED_BEFORE.search(head)):
        return False
    if name in _NEVER_LAST:
        return name in ("al", "art", "st", "ed", "ch") and _begins(word)
    if name in _MAYBE_LAST or _INITIAL_BEFORE.search(head, max(0, len(head) - 3)):
        return not word or _begins(word)
    return True


def _begins(word: str) -> bool:
    return word.casefold() in _BEGINNERS and word != "A"


def _has_letter(text: str, start: int, end: int) -> bool:
    return any(text[at].isalpha() for at in range(start, end))


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the stripped slice, in pieces of at most MAX_SENTENCE_CHARS; none without a word."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > MAX_SENTENCE_CHARS:
        cut = _cut(text, start, start + MAX_SENTENCE_CHARS)
        stop = cut
        while text[stop - 1].isspace():
            stop -= 1
        if _has_word(text, start, stop):
            yield start, stop
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if _has_word(text, start, end):
        yield start, end


def _has_word(text: str, start: int, end: int) -> bool:
    return any(text[at].isalnum() for at in range(start, end))


def _cut(text: str, start: int, limit: int) -> int:
    """Return where to split: behind a clause in the second half, else at white space, else between
    two characters."""
    half = start + (limit - start) // 2
    clauses = [match.end() for match in _CLAUSE.finditer(text, half, limit)]
    for place in reversed(clauses):
        if is_between_characters(text, place):
            return place
    for at in range(limit - 1, half, -1):
        if text[at].isspace():
            return at
    return last_boundary(text, half, limit)
