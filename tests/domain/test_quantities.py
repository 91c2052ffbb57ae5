"""Numbers, units and dates in comparable forms."""

from typing import Any

import pytest

from prism_cli.domain import number_words
from prism_cli.domain import quantities as module
from prism_cli.domain.dates import dates, named_dates
from prism_cli.domain.fact_source import FactSource
from prism_cli.domain.quantities import all_pairs, quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("about 1,234,567 people", ("1234567", "")),
        ("1.5 kilometres away", ("1.5", "km")),
        ("1,5 km", ("1.5", "km")),
        ("a 5-year plan", ("5", "year")),
        ("12%", ("12", "%")),
        ("12 percent", ("12", "%")),
        ("$3.2 million", ("3200000", "$")),
        ("3,2 Millionen Euro", ("3200000", "€")),
        ("7,8 mil millones de euros", ("7800000000", "€")),
        ("US$5m", ("5000000", "$")),
        ("5 EUR", ("5", "€")),
        ("Rs. 500", ("500", "₹")),
        ("-5 °C", ("-5", "°c")),
        ("minus 5 degrees Celsius", ("-5", "°c")),
        ("5 °C below zero", ("-5", "°c")),
        ("growth of -.5%", ("-0.5", "%")),
        ("12 300 habitants", ("12300", "")),
        ("v2.3.1", ("2.3.1", "")),
        ("100 km/h", ("100", "km/h")),
        ("330 square metres", ("330", "m2")),
        ("330 กิโลเมตร", ("330", "km")),
        ("330 كيلومترًا", ("330", "km")),
        ("33 साल", ("33", "year")),
        ("300万人", ("3000000", "")),
        ("3억 5000만 원", ("350000000", "₩")),
        ("三百二十万元", ("3200000", "cny")),
        ("三十一层", ("31", "")),
        ("二〇〇三年", ("2003", "")),
        ("三个人", ("3", "")),
        ("$40", ("40", "$")),
        ("40 dollars", ("40", "$")),
        ("the 19th century", ("19", "th")),
        ("3GHz", ("3", "ghz")),
        ("28.5°E", ("28.5", "°e")),
        ("37 °C", ("37", "°c")),
        ("308分", ("308", "min")),
        ("1998 年", ("1998", "")),
        ("40 in all", ("40", "")),
        ("5 apples", ("5", "")),
        ("510 más", ("510", "")),
    ],
)
def test_number_and_unit(text: str, expected: tuple[str, str]) -> None:
    assert [quantity.pair for quantity in quantities(text)] == [expected]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("three hundred and fifty-two gates", "English", ("352", "")),
        ("seven million dollars", "English", ("7000000", "$")),
        ("the nineteenth century", "English", ("19", "th")),
        ("siebenundzwanzig Meter", "German", ("27", "m")),
        ("quatre-vingt-quinze ans", "French", ("95", "year")),
        ("treinta y cinco días", "Spanish", ("35", "day")),
        ("eight gates", "", ("8", "")),
    ],
)
def test_number_in_words(text: str, language: str, expected: tuple[str, str]) -> None:
    assert [found.pair for found in quantities(text, language, words=True)] == [expected]


@pytest.mark.parametrize("text", ["one of a second", "deux", "once", "neuf", "7 thousands"])
def test_words_that_may_be_others_are_no_numbers(text: str) -> None:
    assert [found for found in quantities(text, "", words=True) if found.is_spelled] == []


@pytest.mark.parametrize("text", ["统一", "一些", "十分", "四川", "万一", "三星", "九州"])
def test_numerals_within_a_word_are_no_number(text: str) -> None:
    assert list(quantities(text)) == []


@pytest.mark.parametrize("text", ["5-10", "5 – 10", "COVID-19", "2010 -12", "5月-6月", "10-5"])
def test_hyphen_of_a_range_is_no_sign(text: str) -> None:
    assert not any(found.pair[0].startswith("-") for found in quantities(text.replace("–", "-")))


@pytest.mark.parametrize("text", ["MPEG-2", "COVID19", "a.b3", "H2O", "v1"])
def test_digits_inside_a_word_are_no_number(text: str) -> None:
    assert list(quantities(text)) == []


@pytest.mark.parametrize("text", ["5 to 10 km", "5-10 km", "5 and 10 km"])
def test_the_unit_of_a_range_applies_to_both_numbers(text: str) -> None:
    assert set(all_pairs(text)) >= {("5", "km"), ("10", "km")}


def test_a_unit_does_not_apply_to_another_sentence() -> None:
    assert ("5", "km") not in set(all_pairs("He had 5 dogs. 10 km away lay the sea."))


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("on 4 March 2021", (2021, 3, 4)),
        ("March 4, 2021", (2021, 3, 4)),
        ("the 4th of March", (None, 3, 4)),
        ("Sept. 2020", (2020, 9, None)),
        ("2021-03-04", (2021, 3, 4)),
        ("2021年3月4日", (2021, 3, 4)),
        ("2021 年 3 月", (2021, 3, None)),
        ("3月4日", (None, 3, 4)),
        ("2021년 3월 4일", (2021, 3, 4)),
        ("二〇二一年三月四日", (2021, 3, 4)),
        ("十二月二十五日", (None, 12, 25)),
        ("4 มีนาคม 2021", (2021, 3, 4)),
        ("4 Μαρτίου 2021", (2021, 3, 4)),
        ("4 tháng 3 năm 2021", (2021, 3, 4)),
        ("4 Mart 2021", (2021, 3, 4)),
    ],
)
def test_date(text: str, date: tuple[int | None, ...]) -> None:
    assert [date_found for _, date_found in dates(text)] == [date]


@pytest.mark.parametrize("text", ["may 12 people come", "in 2021", "ten Marches", "12-34"])
def test_texts_that_are_not_dates(text: str) -> None:
    assert dates(text) == []


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("every Monday", (None, None, -1)),
        ("il vient lundi", (None, None, -1)),
        ("segunda-feira", (None, None, -1)),
        ("يوم الاثنين القادم", (None, None, -1)),
        ("सोमवार को", (None, None, -1)),
        ("星期一开放", (None, None, -1)),
        ("월요일에", (None, None, -1)),
        ("en avril", (None, 4, None)),
    ],
)
def test_month_or_day_without_a_date(text: str, date: tuple[int | None, ...]) -> None:
    assert [date_found for _, date_found in named_dates(text, 5)] == [date]


def test_short_names_of_months_are_also_other_words() -> None:
    assert list(named_dates("It may rain; mai più.", 5)) == []


def test_work_in_a_run_of_scales_grows_with_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*all_pairs("10 thousand million")] == [("10000000000", "")]
    calls = 0
    form = module._form

    def counted(*given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        return form(*given, **more)

    monkeypatch.setattr(module, "_form", counted)
    assert FactSource("The river is long. " + "million " * 500).spelled is not None
    assert calls < 500 * 12


def test_a_chinese_numeral_of_a_million_digits_has_a_value() -> None:
    digits = "9" * 1_000_005
    assert number_words.han_value(f"{digits}万") == digits + "0000"
