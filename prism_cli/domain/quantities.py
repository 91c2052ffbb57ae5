"""Numbers with their units, and dates, in a form that can be compared."""

import re
from collections.abc import Iterator
from itertools import pairwise
from unicodedata import normalize

Quantity = tuple[str, str]
"""Digits without thousands' separators and with a decimal point; the unit, "" for none."""
Date = tuple[int | None, int | None, int | None]
"""Year, month, day; None for a missing part."""

_MONTH_FORMS = (
    "Jan January Januar Jänner janvier enero gennaio janeiro января январь يناير जनवरी",
    "Feb February Februar février febrero febbraio fevereiro февраля февраль فبراير फरवरी फ़रवरी",
    "Mar March März mars marzo março марта март مارس मार्च",
    "Apr April avril abril aprile апреля апрель أبريل ابريل إبريل अप्रैल",
    "May Mai mai mayo maggio maio мая май مايو मई",
    "Jun June Juni juin junio giugno junho июня июнь يونيو يونيه जून",
    "Jul July Juli juillet julio luglio julho июля июль يوليو يوليه जुलाई",
    "Aug August août agosto августа август أغسطس اغسطس अगस्त",
    "Sep Sept September septembre septiembre settembre setembro сентября сентябрь سبتمبر सितंबर "
    "सितम्बर",
    "Oct October Oktober octobre octubre ottobre outubro октября октябрь أكتوبر اكتوبر अक्टूबर अक्तूबर",
    "Nov November novembre noviembre novembro ноября ноябрь نوفمبر नवंबर नवम्बर",
    "Dec December Dezember décembre diciembre dicembre dezembro декабря декабрь ديسمبر दिसंबर "
    "दिसम्बर",
)
_MONTHS = {
    normalize("NFKC", form): number
    for number, forms in enumerate(_MONTH_FORMS, 1)
    for form in forms.split()
}
_ALL_MONTHS = "|".join(sorted(map(re.escape, _MONTHS), key=len, reverse=True))
_MONTH = rf"(?<![^\W\d_])(?P<month>{_ALL_MONTHS})(?![^\W\d_])\.?"
_DAY, _YEAR = r"(?<!\d)(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.|º)?(?!\d)", r"(?P<year>\d{4})(?!\d)"
_OF = r"(?:(?:of|de|del|di)\s+)?"
_DATES = [
    re.compile(rf"{_DAY}\s+{_OF}{_MONTH}(?:,?\s+{_OF}{_YEAR})?"),
    re.compile(rf"{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?"),
    re.compile(rf"{_MONTH},?\s+{_OF}{_YEAR}"),
    re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?!\d)"),
    re.compile(
        r"(?<!\d)(?P<year>\d{4})\s?[年년]\s?(?P<month>\d{1,2})\s?[月월]"
        r"(?:\s?(?P<day>\d{1,2})\s?[日号號일])?"
    ),
    re.compile(r"(?<!\d)(?P<month>\d{1,2})\s?[月월]\s?(?P<day>\d{1,2})\s?[日号號일]"),
]
_UNIT_FORMS = (
    "% percent pct", "$ usd dollar dollars", "€ eur euro euros", "£ gbp pounds", "¥ yen yuan",
    "km kilometre kilometres kilometer kilometers kilometern kilomètre kilomètres kilómetro "
    "kilómetros quilômetros chilometri километр километра километров كيلومتر كيلومترا किलोमीटर",
    "m metre metres meter meters metern mètre mètres metro metros metri метр метра метров متر مترا "
    "مترًا मीटर",
    "cm centimetre centimetres centimeter centimeters centimètres centímetros сантиметров",
    "mm millimetres millimeters millimeter millimètres milímetros миллиметров",
    "mi mile miles", "ft foot feet", "inch inches", "kg kilogram kilograms", "g gram grams",
    "mg milligram milligrams", "µg μg mcg micrograms", "t tonne tonnes ton tons",
    "lb lbs pound", "l litre litres liter liters", "ml millilitres milliliters",
    "h hr hrs hour hours", "min minute minutes", "s sec seconds", "ms milliseconds",
    "day days", "week weeks", "month months", "year years", "century centuries",
    "million millions millionen mio millón millones milione milioni milhão milhões миллион "
    "миллиона миллионов",
    "billion billions bn milliarde milliarden mrd milliard milliards miliardi bilhões миллиард "
    "миллиарда миллиардов",
    "trillion trillions", "thousand thousands tausend mil тысяч тысячи",
    "hundred", "hz", "khz", "mhz", "ghz", "kb", "mb", "gb", "tb", "w", "kw", "mw", "gw", "v",
    "°c", "°f", "km2", "m2", "m3", "mph", "rpm", "dpi",
)  # fmt: skip
_UNITS = {
    normalize("NFKC", form): forms.split()[0] for forms in _UNIT_FORMS for form in forms.split()
}
_BETWEEN = frozenset(str.split("- ~ to and or until through bis und et à y e tot en 至 到"))
"""Words in ranges such as `5 to 10 km`, whose unit applies to both numbers."""
_KNOWN = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_NUMBER = re.compile(
    r"(?P<before>[$€£¥]\s?)?(?<![A-Za-z0-9_.])(?<![A-Za-z]-)(?P<digits>\d+(?:[.,']\d+)*)"
    r"(?:(?P<tied>°?[A-Za-z%‰°µμ$€£¥]+[23]?)"
    rf"|[ -](?P<apart>{_KNOWN})(?![^\W\d_])"
    r"|\s?(?P<han>公里|千米|英里|厘米|毫米|公斤|千克|美元|欧元|歐元|킬로미터|미터|킬로그램"
    r"|[年月日时時分秒岁歳歲亿億万萬千百米吨噸元년월일만억원%]))?",
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
    """Return dates with a month, in ISO form, Chinese, Japanese, Korean, and with the
    names of _MONTH_FORMS; each once."""
    matches: list[tuple[re.Match[str], Date]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            parts = match.groupdict()
            month = parts["month"]
            number = int(month) if month.isdigit() else _MONTHS[month]
            year, day = (int(parts[name]) if parts.get(name) else None for name in ("year", "day"))
            matches.append((match, (year, number, day)))
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return matches
