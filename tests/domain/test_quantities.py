"""Numbers, units and dates in comparable forms."""

import pytest

from prism_cli.domain.quantities import dates, quantities, quantities_with_ranges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("about 1,234,567 people", ("1234567", "")),
        ("1.5 kilometres away", ("1.5", "km")),
        ("1,5 km", ("1.5", "km")),
        ("a 5-year plan", ("5", "year")),
        ("12%", ("12", "%")),
        ("12 percent", ("12", "%")),
        ("$3.2 million", ("3.2", "million")),
        ("$40", ("40", "$")),
        ("40 dollars", ("40", "$")),
        ("the 19th century", ("19", "th")),
        ("3GHz", ("3", "ghz")),
        ("28.5°E", ("28.5", "°e")),
        ("37 °C", ("37", "°c")),
        ("308分", ("308", "分")),
        ("1998 年", ("1998", "年")),
        ("40 in all", ("40", "")),
        ("5 apples", ("5", "")),
        ("510 más", ("510", "")),
    ],
)
def test_number_and_unit(text: str, expected: tuple[str, str]) -> None:
    assert [pair for _, pair in quantities(text)] == [expected]


@pytest.mark.parametrize("text", ["MPEG-2", "COVID19", "a.b3", "H2O", "v1"])
def test_digits_inside_a_word_are_no_number(text: str) -> None:
    assert list(quantities(text)) == []


@pytest.mark.parametrize("text", ["5 to 10 km", "5-10 km", "5 and 10 km"])
def test_the_unit_of_a_range_applies_to_both_numbers(text: str) -> None:
    assert set(quantities_with_ranges(text)) >= {("5", "km"), ("10", "km")}


def test_a_unit_does_not_apply_to_another_sentence() -> None:
    assert ("5", "km") not in set(quantities_with_ranges("He had 5 dogs. 10 km away lay the sea."))


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
    ],
)
def test_date(text: str, date: tuple[int | None, ...]) -> None:
    assert [date_found for _, date_found in dates(text)] == [date]


@pytest.mark.parametrize("text", ["may 12 people come", "in 2021", "ten Marches", "12-34"])
def test_texts_that_are_not_dates(text: str) -> None:
    assert dates(text) == []
