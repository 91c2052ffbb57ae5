"""Numbers with their units, and dates, in a form that can be compared."""

import re
from collections.abc import Iterator
from itertools import pairwise

Quantity = tuple[str, str]
"""Digits without thousands' separators and with a decimal point; the unit, "" for none."""
Date = tuple[int | None, int | None, int | None]
"""Year, month, day; None for a missing part."""

_MONTHS = str.split("jan feb mar apr may jun jul aug sep oct nov dec")
_MONTH = (
    r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|"
    r"Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_DAY, _YEAR = r"(?<!\d)(?P<day>\d{1,2})(?:st|nd|rd|th)?(?!\d)", r"(?P<year>\d{4})(?!\d)"
_DATES = [
    re.compile(rf"{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?"),
    re.compile(rf"{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?"),
    re.compile(rf"{_MONTH},?\s+{_YEAR}"),
    re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?!\d)"),
    re.compile(
        r"(?<!\d)(?P<year>\d{4})\s?[年년]\s?(?P<month>\d{1,2})\s?[月월]"
        r"(?:\s?(?P<day>\d{1,2})\s?[日号號일])?"
    ),
    re.compile(r"(?<!\d)(?P<month>\d{1,2})\s?[月월]\s?(?P<day>\d{1,2})\s?[日号號일]"),
]
_UNIT_FORMS = (
    "% percent pct", "$ usd dollar dollars", "€ eur euro euros", "£ gbp pounds", "¥ yen yuan",
    "km kilometre kilometres kilometer kilometers", "m metre metres meter meters",
    "cm centimetre centimetres centimeter centimeters", "mm millimetres millimeters",
    "mi mile miles", "ft foot feet", "inch inches", "kg kilogram kilograms", "g gram grams",
    "mg milligram milligrams", "µg μg mcg micrograms", "t tonne tonnes ton tons",
    "lb lbs pound", "l litre litres liter liters", "ml millilitres milliliters",
    "h hr hrs hour hours", "min minute minutes", "s sec seconds", "ms milliseconds",
    "day days", "week weeks", "month months", "year years", "century centuries",
    "million millions", "billion billions bn", "trillion trillions", "thousand thousands",
    "hundred", "hz", "khz", "mhz", "ghz", "kb", "mb", "gb", "tb", "w", "kw", "mw", "gw", "v",
    "°c", "°f", "km2", "m2", "m3", "mph", "rpm", "dpi",
)  # fmt: skip
_UNITS = {form: forms.split()[0] for forms in _UNIT_FORMS for form in forms.split()}
_BETWEEN = frozenset(str.split("- ~ to and or until through bis und et à y e tot en 至 到"))
"""Words in ranges such as `5 to 10 km`, whose unit applies to both numbers."""
_KNOWN = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_NUMBER = re.compile(
    r"(?P<before>[$€£¥]\s?)?(?<![A-Za-z0-9_.])(?<![A-Za-z]-)(?P<digits>\d+(?:[.,']\d+)*)"
    r"(?:(?P<tied>°?[A-Za-z%‰°µμ$€£¥]+[23]?)"
    rf"|[ -](?P<apart>{_KNOWN})(?![^\W\d_])"
    r"|\s?(?P<han>[年月日时時分秒岁歳歲亿億万萬千百년월일%]))?",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"[.,'](?=\d{3}(?!\d))")


def quantities(text: str) -> Iterator[tuple[re.Match[str], Quantity]]:
    """Yield each number with its unit: letters and signs that touch it, or a known unit after a
    blank. A number inside a word (MPEG-2) is skipped."""
    for match in _NUMBER.finditer(text):
        yield match, (_THOUSANDS.sub("", match["digits"]).replace(",", "."), _unit(match))


def quantities_with_ranges(text: str) -> Iterator[Quantity]:
    """Yield the same, and also the first number of a range with the unit of the second."""
    all_quantities = list(quantities(text))
    yield from (quantity for _, quantity in all_quantities)
    for (first, (digits, unit)), (second, (_, shared)) in pairwise(all_quantities):
        if shared and not unit and text[first.end() : second.start()].strip() in _BETWEEN:
            yield digits, shared


def _unit(match: re.Match[str]) -> str:
    tied, apart = (match["tied"] or "").casefold(), (match["apart"] or "").casefold()
    if tied or apart:
        return _UNITS.get(tied or apart, tied)
    return (match["before"] or match["han"] or "").strip()


def dates(text: str) -> list[tuple[re.Match[str], Date]]:
    """Return dates with a month, in English, ISO, Chinese, Japanese and Korean forms; each once."""
    matches: list[tuple[re.Match[str], Date]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            parts = match.groupdict()
            month = parts["month"]
            number = int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1
            year, day = (int(parts[name]) if parts.get(name) else None for name in ("year", "day"))
            matches.append((match, (year, number, day)))
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return matches
