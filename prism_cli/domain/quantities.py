"""Numbers with their units, in a form that can be compared."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple
from unicodedata import category

from prism_cli.domain.number_words import (
    HAN_DIGIT,
    HAN_NUMBER,
    HAN_SCALE,
    han_value,
    spelled_numbers,
)
from prism_cli.domain.units import BEFORE, CURRENCIES, EITHER, SCALES, UNITS
from prism_cli.domain.words import UNSPACED, is_unspaced

Pair = tuple[str, str]
"""The number in digits, with its sign and scale; the unit, "" for none."""


class Quantity(NamedTuple):
    """A number with its unit, in the half-open range of a text.

    Attributes:
        is_spelled: whether it is written in words.
    """

    start: int
    end: int
    pair: Pair
    is_spelled: bool = False


_MOST_SCALES = 4
"""Most scales of a number, as in "ten thousand million"."""
_BETWEEN = frozenset(str.split("- ~ to and or until through bis und et à y e tot en 至 到 и до"))
"""Words in ranges such as `5 to 10 km`, whose unit applies to both numbers."""
_SPACED = re.compile(r"(?<!\d)\d{1,3}(?: \d{3})+(?![.,]?\d)")
_NUMBER = re.compile(
    rf"{_SPACED.pattern}|\d++(?:[.,']\d+)*(?:{HAN_SCALE}+ ?(?:\d++(?:[.,']\d+)*(?={HAN_SCALE}))?)*"
    r"(?:(?<=[万萬億亿兆만억조])\d{1,4}(?![\d.,]))?"  # 1万8000
    rf"|{HAN_NUMBER}"
)
_IN_WORD = re.compile(r"[A-Za-z0-9_]\Z|[\w.]\.\Z|[A-Za-z]-\Z")
_VERSION = re.compile(r"(?<![A-Za-z0-9_])[vV]\.?\Z")
_CODES = "|".join(sorted(map(re.escape, BEFORE), key=len, reverse=True))
_CODE = re.compile(rf"\s?({_CODES})(?!\w)")
_BEFORE = re.compile(rf"(?<![A-Za-z])(?!(?<=\d)%|(?<=\d\s)%)({_CODES})\s?\Z")
_SIGN = re.compile(
    rf"(?:^|[\s(\[{{:=~<>/\"'≈{UNSPACED}])(?<!\d.)(?<!\d[%°]\s)-\Z"
    r"|(?:(?<!\w)(?:minus|moins|menos|meno|минус|âm|eksi|سالب)\s|零下|氷点下|マイナス|영하|ลบ)\s?\Z",
    re.IGNORECASE,
)
_BEFORE_ENDS = frozenset(form[-1] for form in BEFORE)
_SIGN_ENDS = frozenset("-sSoOсСmMiIب下ス하บ")
_BELOW = re.compile(
    r"\s(?:degrees\s)?(?:below\s(?:zero|freezing)|unter\snull|(?:au-dessous\sde|sous)\széro|bajo\scero"
    r"|sotto\szero|abaixo\sde\szero|ниже\sнуля)",
    re.IGNORECASE,
)
_TIED = re.compile(r"°?[A-Za-z%‰°µμ$€£¥]+[23]?(?![A-Za-zÀ-ɏ])")
_ORDINAL = frozenset(("st", "nd", "rd", "th", "er", "e", "º"))
_SHORT_SCALES = {"m": 6, "k": 3, "b": 9, "t": 12}
_PER = re.compile(r"/([A-Za-z]{1,4}[23]?)(?![A-Za-z])")
_LINK = re.compile(r" (?:of|de|di) | d'")
_THOUSANDS = re.compile(r"[.,' ](?=\d{3}(?!\d))")


def quantities(text: str, language: str = "", *, words: bool = False) -> Iterator[Quantity]:
    """Yield each number of a plain text with its unit: letters and signs that touch it, or a known
    unit after a blank. A number inside a word (MPEG-2) is skipped.

    Args:
        language: of numbers in words, see `spelled_numbers`.
        words: also yield numbers in words.
    """
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        left = text[max(0, start - 16) : start]
        digits = match[0].rstrip()
        end = start + len(digits)
        if (
            not _before(left)
            and _IN_WORD.search(left)
            and not ("." in digits and _VERSION.search(left))
        ):
            continue
        if left.endswith("."):
            left, digits, start = left[:-1], f"0.{digits}", start - 1  # ".5"
        yield _quantity(text, start, end, _plain_digits(digits), left)
    for start, end, digits, is_ordinal in spelled_numbers(text, language) if words else ():
        left = text[max(0, start - 16) : start]
        quantity = _quantity(text, start, end, digits, left, spelled=True)
        yield Quantity(start, end, (digits, "th"), True) if is_ordinal else quantity


def all_pairs(text: str, language: str = "", *, words: bool = False) -> Iterator[Pair]:
    """Yield the pairs that a document with these quantities supports: also the first number of a
    range with the unit of the second, units that mean the same, and parts of spaced numbers."""
    listed = sorted(quantities(text, language, words=words))
    for quantity in listed:
        yield from unit_alternatives(quantity.pair)
        if spaced := _SPACED.search(text, quantity.start, quantity.end):
            parts = spaced[0].split()
            yield from ((part, unit) for part in parts for unit in ("", quantity.pair[1]))
    for first, second in pairwise(listed):
        unit = second.pair[1]
        if unit and not first.pair[1] and text[first.end : second.start].strip() in _BETWEEN:
            yield from unit_alternatives((first.pair[0], unit))


def unit_alternatives(pair: Pair) -> list[Pair]:
    """Return the pair, and the same with the other units that its unit may mean."""
    return [pair, *((pair[0], unit) for unit in EITHER.get(pair[1], ()))]


def _before(left: str) -> re.Match[str] | None:
    """Return the currency or percent at the end of what is left of a number."""
    return _BEFORE.search(left) if left.rstrip()[-1:] in _BEFORE_ENDS else None


def _plain_digits(written: str) -> str:
    """Return digits without separators of thousands, and with a decimal point."""
    if written.isascii() and written.isdigit():
        return written
    if re.search(f"{HAN_DIGIT}|{HAN_SCALE}", written):
        return han_value(_THOUSANDS.sub("", written).replace(" ", ""))
    return _THOUSANDS.sub("", written).replace(",", ".").replace("'", ".")


def _quantity(
    text: str, start: int, end: int, digits: str, left: str, *, spelled: bool = False
) -> Quantity:
    """Return the number at [start, end) with the sign, scale and unit around it."""
    before = _before(left)
    unit = BEFORE[before[1]] if before else ""
    if before:
        start, left = start - len(before[0]), left[: before.start()]
    if sign := left.rstrip()[-1:] in _SIGN_ENDS and _SIGN.search(left):
        start -= len(sign[0]) - (sign[0].endswith("-") and len(sign[0]) > 1)
    end, power = _scale(text, end, currency=unit in CURRENCIES)
    after, end = _unit(text, end, scaled=power > 0)
    if power:
        digits = _scaled(digits, power)
    if below := _BELOW.match(text, end):
        end = below.end()
    if "." in digits and digits.count(".") == 1:
        digits = digits.rstrip("0").rstrip(".") if unit or after in CURRENCIES else digits
    unit = unit or after
    if unit == "year" and len(digits) == 4 and "1100" <= digits < "2100":
        unit = ""  # a year of the calendar
    return Quantity(start, end, (f"-{digits}" if sign or below else digits, unit), spelled)


def _scale(text: str, at: int, *, currency: bool) -> tuple[int, int]:
    """Return where the scales after a number end, and their power of ten."""
    power = 0
    for _ in range(_MOST_SCALES):  # each number of a long run would read all that follow
        if not (form := _form(text, at, _SCALE_SIZES, SCALES)):
            break
        at, power = form[0], power + SCALES[form[1]]
    if currency and not power and (tied := _TIED.match(text, at)):
        power = _SHORT_SCALES.get(tied[0].casefold(), 0)
        at = tied.end() if power else at
    return at, power


def _scaled(digits: str, power: int) -> str:
    """Return digits times a power of ten."""
    if digits.count(".") > 1:
        return digits
    whole, _, fraction = digits.partition(".")
    fraction = fraction.ljust(power, "0")
    rest = fraction[power:].rstrip("0")
    return (whole + fraction[:power]).lstrip("0") + (f".{rest}" if rest else "")


def _unit(text: str, at: int, *, scaled: bool) -> tuple[str, int]:
    """Return the unit after a number, "" for none, and where it ends."""
    if scaled and (link := _LINK.match(text, at)):
        form = _form(text, link.end(), _UNIT_SIZES, UNITS, blank=False)
        return (UNITS[form[1]], form[0]) if form else ("", at)
    tied = _TIED.match(text, at)
    if tied and tied[0].casefold() not in UNITS:
        unit = tied[0].casefold()
        return ("th" if unit in _ORDINAL else unit), tied.end()
    form = _form(text, at, _UNIT_SIZES, UNITS)
    if form is None:
        code = _CODE.match(text, at)
        return (BEFORE[code[1]], code.end()) if code else ("", at)
    unit, end = UNITS[form[1]], form[0]
    if per := _PER.match(text, end):
        other = per[1].casefold()
        return f"{unit}/{UNITS.get(other, other)}", per.end()
    return unit, end


def _sizes(table: Mapping[str, object]) -> dict[str, list[int]]:
    """Return the lengths of the forms by their first character, longest first."""
    sizes: defaultdict[str, set[int]] = defaultdict(set)
    for form in table:
        sizes[form[0]].add(len(form))
    return {first: sorted(lengths, reverse=True) for first, lengths in sizes.items()}


_UNIT_SIZES, _SCALE_SIZES = _sizes(UNITS), _sizes(SCALES)


def _form(
    text: str,
    at: int,
    sizes: Mapping[str, list[int]],
    table: Mapping[str, object],
    blank: bool = True,
) -> tuple[int, str] | None:
    """Return where the longest form at a place ends, and the form; None where there is none."""
    if blank and text[at : at + 1] in (" ", "-", "\n"):
        at += 1
    for size in sizes.get(text[at : at + 1].casefold(), ()):
        form = text[at : at + size].casefold()
        if len(text) >= at + size and form in table and _ends_word(text, at + size):
            return at + size, form
    return None


def _ends_word(text: str, end: int) -> bool:
    """Return whether no word of a script with blanks goes on at `end`."""
    last, follower = text[end - 1], text[end : end + 1]
    if not last.isalnum() or is_unspaced(last) or "가" <= last <= "힣":
        return True
    return not (follower.isalpha() or category(follower or " ")[0] == "M") or is_unspaced(follower)
