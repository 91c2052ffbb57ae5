"""Number of rows per score in a sample."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prism_cli.domain.sampling import bin_of, equal_shares, labelled_and_web, paper_shares

COUNTS = st.lists(st.integers(0, 500), min_size=1, max_size=24)
BUCKETS = st.lists(st.integers(0, 500), min_size=20, max_size=20)


@given(COUNTS, st.integers(0, 3000))
def test_equal_shares_fill_the_size_and_never_exceed_a_bin(counts: list[int], size: int) -> None:
    shares = equal_shares(counts, size)
    assert sum(shares) == min(size, sum(counts))
    assert all(0 <= share <= count for share, count in zip(shares, counts, strict=True))


@given(COUNTS, st.integers(0, 3000))
def test_equal_shares_are_equal_for_bins_that_are_not_kept_whole(
    counts: list[int], size: int
) -> None:
    shares = equal_shares(counts, size)
    cut = [share for share, count in zip(shares, counts, strict=True) if share < count]
    if cut:
        assert max(cut) - min(cut) <= 1
        assert max(shares) <= min(cut) + 1  # no bin has more than one that could give more


def test_the_unused_share_of_a_small_bin_goes_to_the_others() -> None:
    assert equal_shares([2, 100, 100, 0], 32) == [2, 15, 15, 0]
    assert equal_shares([5, 5, 5], 7) == [3, 2, 2]
    assert equal_shares([1, 2, 3], 100) == [1, 2, 3]


def test_paper_shares_equal_worked_numbers() -> None:
    counts = [1000, 900, 800, 700] + [80] * 9 + [340] * 6 + [5000]
    # base = floor(min(80 / 1, 340 / 1.7) / .8) = 100; caps 100 and 170.
    assert paper_shares(counts) == [1000, 900, 800, 700] + [80] * 9 + [170] * 6 + [5000]
    counts[13] = 17  # 17 / 1.7 / .8 = 12.5: caps 12 and 20
    assert paper_shares(counts)[4:19] == [12] * 9 + [17] + [20] * 5


def test_paper_shares_do_not_lose_a_row_to_floats() -> None:
    counts = [0] * 20
    counts[4], counts[5] = 8, 100
    assert paper_shares(counts)[5] == 10  # 8 / .8
    counts[4] = 12
    assert paper_shares(counts)[5] == 15


@given(BUCKETS)
def test_paper_rule_keeps_both_ends_and_the_poorest_bucket_whole(counts: list[int]) -> None:
    shares = paper_shares(counts)
    assert shares[:4] == counts[:4]
    assert shares[19] == counts[19]
    assert all(0 <= share <= count for share, count in zip(shares, counts, strict=True))
    middle = [index for index in range(4, 19) if counts[index]]
    if middle:
        weighed = {i: Fraction(counts[i]) / (Fraction(17, 10) if i > 12 else 1) for i in middle}
        poorest = min(middle, key=weighed.__getitem__)
        all_kept = shares[poorest] == counts[poorest]
        assert all_kept or weighed[poorest] < 5  # floor may cut a handful below its own count


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@example(5, 1)
def test_the_ratio_of_labelled_to_web_shrinks_one_side_only(labelled: int, web: int) -> None:
    sampled = labelled_and_web(labelled, web)
    if not labelled or not web:
        assert sampled == (labelled, web)
        return
    assert all(sampled)
    assert sampled[0] == labelled or sampled[1] == web
    assert sampled[0] <= labelled
    assert sampled[1] <= web
    assert abs(3 * sampled[0] - 2 * sampled[1]) < 3


@given(st.floats(0, 1), st.integers(1, 40))
def test_a_bin_contains_its_score(score: float, bins: int) -> None:
    index = bin_of(score, bins)
    assert 0 <= index < bins
    assert index / bins <= score
    assert score < (index + 1) / bins or score == 1


@pytest.mark.parametrize(
    ("score", "bucket"), [(0.0, 0), (0.2, 4), (0.65, 13), (0.95, 19), (1.0, 19), (0.15, 3)]
)
def test_edges_belong_to_the_bucket_above(score: float, bucket: int) -> None:
    assert bin_of(score, 20) == bucket


def test_every_edge_of_a_grid_is_found() -> None:
    bins: list[Any] = [bin_of(round(index * 0.05, 2), 20) for index in range(20)]
    assert bins == list(range(20))
