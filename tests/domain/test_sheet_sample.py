"""Stratified samples, and cells without spreadsheet formulas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.sheet_sample import Sampler, rounded_length, shares, terciles
from prism_cli.domain.spreadsheet import CELL_CHARACTERS, cell, plain


def test_terciles_and_rounded_lengths() -> None:
    assert [rounded_length(length) for length in (0, 7, 99, 101, 12_345)] == [0, 7, 99, 100, 12_000]
    assert terciles(dict.fromkeys(range(1, 10), 1)) == (3, 6)
    assert terciles({5: 100}) == (5, 5)
    assert terciles({}) == (0, 0)


@given(
    st.dictionaries(st.tuples(st.text(max_size=2)), st.integers(1, 50), max_size=8),
    st.integers(1, 60),
)
def test_quotas_fill_the_sample_and_cover_every_stratum(sizes: dict, total: int) -> None:  # type: ignore[type-arg]
    quotas = shares(sizes, total)
    assert sum(quotas.values()) == min(total, sum(sizes.values()))
    assert all(1 <= count <= sizes[stratum] for stratum, count in quotas.items())
    assert len(quotas) == min(len(sizes), total)


def test_quotas_are_proportional_to_the_sizes() -> None:
    assert shares({("a",): 700, ("b",): 200, ("c",): 1}, 30) == {("a",): 23, ("b",): 6, ("c",): 1}


def test_the_same_rows_in_any_order_give_the_same_sample() -> None:
    rows = [(("ab"[n % 2],), f"q{n}", f"t{n}") for n in range(200)]
    samples = []
    for order in (rows, rows[::-1]):
        sampler = Sampler(10, 7)
        for row in order:
            sampler.add(*row)
        samples.append(set(sampler.chosen()))
    assert samples[0] == samples[1]
    assert len(samples[0]) == 10
    other = Sampler(10, 8)
    for row in rows:
        other.add(*row)
    assert set(other.chosen()) != samples[0]


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t", "\n", "＝", " =", "'=", "''@", "\u200b=", "\ufeff+", "﹦"]
)
def test_formulas_are_neutralised(start: str) -> None:
    text_shown, cut = cell(f"{start}1+1")
    assert (text_shown, cut) == (f"'{start}1+1", False)
    assert plain(text_shown) == f"{start}1+1"


@given(st.text(alphabet=st.sampled_from("='+-@ \n\tab1＝"), max_size=12))
def test_neutralising_is_reversible(text: str) -> None:
    text_shown, _ = cell(text)
    assert plain(text_shown) == text
    assert text_shown[:1] not in ("=", "+", "-", "@", "\t", "\n", "＝")


def test_control_characters_are_removed_and_long_texts_truncated() -> None:
    assert cell("a\x00b\x1b[0m\u202e\r\nc\rd") == ("ab[0m\nc\nd", False)
    for text in ("x" * 40_000, "😀" * 20_000):
        text_shown, cut = cell(text)
        assert cut
        assert CELL_CHARACTERS - 10 < len(text_shown.encode("utf-16-le")) // 2 <= CELL_CHARACTERS
        assert text_shown.endswith(" […]")
