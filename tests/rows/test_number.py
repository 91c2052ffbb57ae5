"""Numbers in untrusted text: ASCII only."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.rows.number import digits_in, number_in


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_written_by_python_are_read(number: float) -> None:
    assert number_in(repr(number)) == number
    assert number_in(f" {number!r}\t") == number


@pytest.mark.parametrize(
    ("text", "number"), [("+3", 3), ("3.", 3), (".5", 0.5), ("1E3", 1000), ("1e999", inf)]
)
def test_usual_forms_are_read(text: str, number: float) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "-", ".", "1_000", "nan", "inf", "-Infinity", "１２", "١٢", "0x1", "1 2", "1,5", "\u00a01",
     "1\n", "−1", "1e"],
)  # fmt: skip
def test_text_that_is_no_ascii_number_is_none(text: str) -> None:
    assert number_in(text) is None


def test_digits_have_no_sign_and_no_other_script() -> None:
    assert digits_in("0012") == 12
    assert [digits_in(text) for text in ("", "-1", "1.0", "²", "١", "1_0", "9" * 5000)] == [
        None
    ] * 7
