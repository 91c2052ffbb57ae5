"""Numbers in words: with text2num in the languages that it has, and Chinese numerals.

Left out, since they are often other words or no claim: one and two, a Chinese numeral alone without
a counter, ordinals except in English, German and French, fractions and "dozens". Other languages,
such as Russian, Arabic and Hindi, are not read.
"""

import re
from collections.abc import Iterator
from decimal import MAX_EMAX, Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

LANGUAGES = {
    "English": "en", "German": "de", "French": "fr", "Spanish": "es", "Italian": "it",
    "Portuguese": "pt", "Dutch": "nl", "Danish or Norwegian": "da",
}  # fmt: skip
_WITH_ORDINALS = frozenset(("English", "German", "French"))
"""Elsewhere they are also other words: "cuarto" is a room."""
_LIKELY = ("English", "German", "French", "Spanish")
_AMBIGUOUS = frozenset(str.split("once elf neuf dos cent mil mille sept"))
_LATIN = re.compile("[A-Za-z]{3}")
_LEAST = 3
"""Smaller ones are articles and units, or count what a text lists: "one", "second", "two"."""
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]+")
_HAN_DIGITS = dict(zip("〇零一二三四五六七八九两兩", (0, 0, *range(1, 10), 2, 2), strict=True))
_TENS = {"十": 1, "百": 2, "千": 3, "백": 2, "천": 3}
_MYRIADS = {"万": 4, "萬": 4, "만": 4, "亿": 8, "億": 8, "억": 8, "兆": 12, "조": 12}
HAN_DIGIT = f"[{''.join(_HAN_DIGITS)}]"
HAN_SCALE = f"[{''.join((*_TENS, *_MYRIADS))}]"
_COUNTER = (
    "[个個人名位次年天岁歳歲座层層条條种種只隻本部省市县縣级級倍章节節秒时時小周週世元块塊米公吨噸项項件套"
    "张張台艘架辆輛场場回つ匹頭头棵幅首篇步期号號番]"
)
HAN_NUMBER = (
    f"(?<!{HAN_DIGIT}|[十百千万萬亿億])(?:[一二三四五六七八九两兩十](?:零?[一二三四五六七八九]?[十百千万萬亿億])+"
    f"[一二三四五六七八九]?|十[一二三四五六七八九]|[一二三四五六七八九〇零]{{4}}|[二三四五六七八九两兩十](?={_COUNTER}))"
    f"(?!{HAN_DIGIT}|[十百千万萬亿億])"
)
"""Numerals that are a number and no part of a word: several ones, or one before a counter; not the
one of "a"."""


class SpelledNumber(NamedTuple):
    """A number in words, half-open range.

    Attributes:
        digits: its value in digits.
    """

    start: int
    end: int
    digits: str
    is_ordinal: bool


class _Token:
    def __init__(self, word: str) -> None:
        self._word = word

    def text(self) -> str:
        return self._word

    def nt_separated(self, _previous: "_Token") -> bool:
        return False

    def not_a_number_part(self) -> bool:
        return False


def spelled_numbers(text: str, language: str) -> Iterator[SpelledNumber]:
    """Yield the numbers in words of a text.

    Args:
        language: a name of LANGUAGES; none are found in others; if unknown, "", those of four
            languages that are no other word of another one.
    """
    names = [language] if language in LANGUAGES else _LIKELY if not language else ()
    tokens = list(map(_token, _TOKEN.findall(text))) if names and _LATIN.search(text) else []
    if not tokens:
        return
    from text_to_num import find_numbers

    matches: list[re.Match[str]] = []
    seen: set[tuple[int, int]] = set()
    for name in names:
        if not any(_is_number(token, LANGUAGES[name]) for token in set(tokens)):
            continue
        for number in find_numbers(tokens, LANGUAGES[name], 0.0):
            matches = matches or list(_TOKEN.finditer(text))
            first, last = matches[number.start], matches[number.end - 1]
            place = first.start(), last.end()
            if (
                number.value < _LEAST
                or first[0][0].isdigit()
                or text[max(0, place[0] - 2) : place[0]].rstrip()[-1:].isdigit()
                or (number.is_ordinal and name not in _WITH_ORDINALS)
                or (not language and first[0].casefold() in _AMBIGUOUS)
                or place in seen
            ):
                continue
            seen.add(place)
            digits = f"{Decimal(str(number.value)).normalize():f}"
            yield SpelledNumber(*place, digits, number.is_ordinal)


def han_value(numerals: str) -> str:
    """Return the value of Chinese numerals, or of digits with Chinese or Korean scales."""
    if not re.search(HAN_SCALE, numerals):
        return "".join(str(_HAN_DIGITS.get(char, char)) for char in numerals)
    with localcontext(prec=len(numerals) + 20, Emax=MAX_EMAX):
        return f"{_sum(numerals).normalize():f}"


def _sum(numerals: str) -> Decimal:
    total = part = number = Decimal(0)
    for token in re.findall(r"\d+(?:\.\d+)?|\D", numerals.replace(",", "")):
        if token in _TENS:
            part += (number or 1) * 10 ** _TENS[token]
            number = Decimal(0)
        elif token in _MYRIADS:
            power, below = 10 ** _MYRIADS[token], part + number
            total = (total + below) * power if total < power else total + below * power
            part = number = Decimal(0)
        elif token in _HAN_DIGITS or token[0].isdigit():
            number = Decimal(_HAN_DIGITS.get(token, 0) if token in _HAN_DIGITS else token)
    return total + part + number


@lru_cache(maxsize=4096)
def _token(word: str) -> _Token:
    return _Token(word)


@lru_cache(maxsize=16384)
def _is_number(token: _Token, code: str) -> bool:
    """Return whether a word alone is a number; one such word at least is in every number."""
    from text_to_num import find_numbers

    return bool(list(find_numbers([token], code, 0.0)))
