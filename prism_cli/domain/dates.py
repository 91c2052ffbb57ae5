"""Dates, months and days of the week, in a form that can be compared."""

import re
from collections.abc import Iterator
from functools import lru_cache

from prism_cli.domain.number_words import HAN_DIGIT, han_value
from prism_cli.domain.plain_text import blank_out
from prism_cli.domain.units import MONTHS, WEEKDAYS

Date = tuple[int | None, int | None, int | None]
"""Year, month, day; None for a missing part. A day of the week is negative: -1 for Monday."""


def _fold(name: str) -> str:
    """Fold as IGNORECASE compares: with the dotless i of Turkish, and the capital with a dot."""
    return name.casefold().replace("i\u0307", "i").replace("ı", "i")


_MONTH_NAMES = "|".join(sorted(map(re.escape, MONTHS), key=len, reverse=True))
_MONTH = rf"(?:(?<![^\W\d_])|(?<=เดือน))(?P<month>{_MONTH_NAMES})(?![^\W\d_])\.?"
_BARE_MONTH = re.compile(_MONTH)
_DAYS = "|".join(sorted(map(re.escape, WEEKDAYS), key=len, reverse=True))
_WEEKDAY = re.compile(
    rf"(?:(?<![^\W\d_])|(?=[星周週礼月火水木金土日ว]))(?:{_DAYS})"
    rf"(?:(?![^\W\d_])|(?<=[一-龯가-힣์]))",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"[^\W\d_]+")
_MONTH_BEGINNINGS = frozenset(match[0] for match in map(_LETTERS.match, MONTHS) if match)
_DAY_BEGINNINGS = frozenset(_fold(match[0]) for match in map(_LETTERS.match, WEEKDAYS) if match)
_TOUCHING = re.compile("[一-龯가-힣\u0e00-\u0e7f]")
"""Letters of days that may touch other letters."""
_DAY_NUMBERS = {_fold(form): number for form, number in WEEKDAYS.items()}
_DAY, _YEAR = r"(?<!\d)(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.|º)?(?!\d)", r"(?P<year>\d{4})(?!\d)"
_OF = r"(?:(?:of|de|del|di)\s+|(?:พ\.ศ\.|ค\.ศ\.)\s*)?"
_SOON = r"(?<![^\W\d_])(?=[^\s\d]{2,16}\s\D{0,8}\d)"  # fast: a word, and digits behind it
_HAN_PART = r"(?:\d{1,2}|[一二三四五六七八九十]{1,3})"
_DATES = [  # each with signs of which a text has one if it matches; None: the name of a month
    (re.compile(rf"{_DAY}\s+{_OF}{_MONTH}(?:,?\s+{_OF}{_YEAR})?"), None),
    (re.compile(rf"{_SOON}{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?"), None),
    (re.compile(rf"{_SOON}{_MONTH},?\s+{_OF}{_YEAR}"), None),
    (re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?!\d)"), "-"),
    (
        re.compile(  # German and others: day, month, year
            r"(?<![\d.])(?P<day>0?[1-9]|[12]\d|3[01])\.\s?(?P<month>0?[1-9]|1[0-2])\.\s?"
            r"(?P<year>\d{4})(?![\d.]*\d)"
        ),
        ".",
    ),
    (
        re.compile(
            rf"(?<!\d)(?P<year>\d{{4}}|{HAN_DIGIT}{{4}})\s?[年년]\s?(?P<month>{_HAN_PART})\s?[月월]"
            rf"(?:\s?(?P<day>{_HAN_PART})\s?[日号號일])?"
        ),
        "月월",
    ),
    (
        re.compile(rf"(?<!\d)(?P<month>{_HAN_PART})\s?[月월]\s?(?P<day>{_HAN_PART})\s?[日号號일]"),
        "月월",
    ),
    (
        re.compile(
            rf"(?<!\d)(?P<day>\d{{1,2}})\s+tháng\s+(?P<month>\d{{1,2}})(?!\d)"
            rf"(?:,?\s+năm\s+{_YEAR})?"
        ),
        "á",
    ),
]
_DATE_SIGN = re.compile(r"[\d月월]")


def dates(text: str) -> list[tuple[re.Match[str], Date]]:
    """Return dates with a month, in ISO form, Chinese, Japanese, Korean, Vietnamese, and with the
    names of MONTHS; each once."""
    matches: list[tuple[re.Match[str], Date]] = []
    if not _DATE_SIGN.search(text):
        return matches
    named = _may_name_month(text)
    for pattern, signs in _DATES:
        if not (named if signs is None else any(sign in text for sign in signs)):
            continue
        spans: list[tuple[int, int]] = []
        for match in pattern.finditer(text):
            parts = match.groupdict()
            year, day = (_number(parts.get(name)) for name in ("year", "day"))
            spans.append(match.span())
            matches.append((match, (year, _number(parts["month"]), day)))
        text = blank_out(text, spans)
    return matches


def named_dates(text: str, least: int = 0) -> Iterator[tuple[re.Match[str], Date]]:
    """Yield the months and days of the week that a text names, with or without a date.

    Args:
        least: of the letters of a month; shorter ones are also other words.
    """
    for match in _BARE_MONTH.finditer(text) if _may_name_month(text) else ():
        if len(match["month"]) >= least:
            yield match, (None, MONTHS[match["month"]], None)
    for match in _WEEKDAY.finditer(text) if _may_name_day(text) else ():
        yield match, (None, None, -_DAY_NUMBERS[_fold(match[0])])


def _may_name_month(text: str) -> bool:
    """Return False for a text in which _BARE_MONTH matches nothing; it is ten times as slow."""
    return not _MONTH_BEGINNINGS.isdisjoint(_letter_runs(text)) or "เดือน" in text


def _may_name_day(text: str) -> bool:
    """Return False for a text in which _WEEKDAY matches nothing; it is ten times as slow."""
    runs = map(_fold, _letter_runs(text))
    return not _DAY_BEGINNINGS.isdisjoint(runs) or _TOUCHING.search(text) is not None


@lru_cache(maxsize=2)
def _letter_runs(text: str) -> frozenset[str]:
    return frozenset(_LETTERS.findall(text))


def _number(part: str | None) -> int | None:
    if not part:
        return None
    return MONTHS[part] if part in MONTHS else int(han_value(part))
