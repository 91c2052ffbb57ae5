"""Properties of significance tests and intervals, and worked values."""

import random
from itertools import combinations_with_replacement
from math import factorial, prod
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prism_cli.domain.significance import (
    NORMAL_FROM,
    bootstrap_interval,
    holm,
    paired_comparison,
    permutation_p,
    ratio_interval,
    wilson_interval,
    with_holm,
)

VALUES = st.lists(st.floats(0, 1), min_size=2, max_size=30)


@given(VALUES)
@settings(max_examples=30, deadline=None)
def test_identical_systems_have_p_one(values: list[float]) -> None:
    assert permutation_p(values, values) == 1.0


@given(VALUES, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_p_does_not_depend_on_which_system_comes_first(
    values: list[float], lot: random.Random
) -> None:
    other = [lot.random() for _ in values]
    one_way = permutation_p(values, other, permutations=500)
    assert one_way == permutation_p(other, values, permutations=500)
    assert 0 < one_way <= 1


def test_few_queries_are_enumerated() -> None:
    assert permutation_p([1, 1, 1, 1, 1], [0, 0, 0, 0, 0]) == pytest.approx(2 / 32)
    assert permutation_p([1.0, 0.5], [0.0, 0.0]) == pytest.approx(0.5)


@given(VALUES, st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_p_equals_that_of_scipy(values: list[float], lot: random.Random) -> None:
    values = [round(value, 3) for value in values[:10]]  # few: scipy counts all flips as well
    other = [round(lot.random(), 3) for _ in values]
    theirs = stats.permutation_test(
        (values, other),
        lambda x, two, axis: abs(np.mean(x - two, axis=axis)),
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    assert permutation_p(values, other) == pytest.approx(theirs)


def test_sampled_permutations_agree_with_all_permutations() -> None:
    lot = random.Random(7)
    first = [lot.random() for _ in range(14)]
    second = [value + lot.gauss(0.1, 0.2) for value in first]
    exact = permutation_p(first, second, permutations=2**14)
    sampled = permutation_p(first, second, permutations=2**14 - 1)
    assert sampled == pytest.approx(exact, abs=0.01)


def test_p_is_never_zero_and_is_repeatable() -> None:
    better, worse = [1.0] * 100, [0.0] * 100
    assert permutation_p(better, worse) == pytest.approx(1 / 20_001)
    lot = random.Random(1)
    noisy = [lot.random() for _ in range(100)]
    assert permutation_p(noisy, worse, seed=3) == permutation_p(noisy, worse, seed=3)


def test_p_is_uniform_enough_under_the_null() -> None:
    lot = random.Random(5)
    p_values = []
    for _ in range(200):
        pairs = [(lot.random(), lot.random()) for _ in range(25)]
        p_values.append(permutation_p(*zip(*pairs, strict=True), permutations=400))
    assert 0.01 <= sum(p <= 0.05 for p in p_values) / 200 <= 0.10


def test_the_interval_of_a_mean_has_its_nominal_coverage() -> None:
    lot = random.Random(11)
    hits = 0
    for _ in range(150):
        low, high = bootstrap_interval([lot.random() for _ in range(40)], resamples=600)
        hits += low <= 0.5 <= high
    assert 0.89 <= hits / 150 <= 1.0


def test_the_interval_of_a_skewed_sample_is_skewed() -> None:
    sample = [1.0] * 30 + [0.0] * 3
    low, high = bootstrap_interval(sample)
    mean = 30 / 33
    plain = stats.bootstrap(
        (sample,), np.mean, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert low < plain.low  # bias and acceleration both pull towards the tail
    assert low < mean < high
    assert mean - low > high - mean


def test_equal_values_have_no_interval() -> None:
    assert bootstrap_interval([0.25] * 8) is None
    assert bootstrap_interval([0.63]) is None
    assert bootstrap_interval([]) is None


def ratio_of_sums(sums: np.ndarray, counts: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(sums.sum(axis) / counts.sum(axis))


@pytest.mark.parametrize("size", [8, 40, 400])
def test_the_ratio_interval_equals_scipys_bca(size: int) -> None:
    lot = np.random.default_rng(size)
    counts = lot.integers(1, 6, size)
    sums = lot.random(size) ** 3 * counts
    low, high = ratio_interval(sums, counts, resamples=40_000)
    theirs = stats.bootstrap(
        (sums, counts),
        ratio_of_sums,
        paired=True,
        method="BCa",
        n_resamples=40_000,
        batch=2_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.02 * width)
    assert high == pytest.approx(theirs.high, abs=0.02 * width)


@pytest.mark.parametrize("zeros_and_ones", [True, False])
def test_the_mean_interval_equals_scipys_bca(zeros_and_ones: bool) -> None:
    lot = np.random.default_rng(5)
    values = (lot.random(300) < 0.93) * 1.0 if zeros_and_ones else lot.random(60) ** 4
    low, high = bootstrap_interval(values, resamples=40_000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=40_000, batch=2_000,
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.02 * width + zeros_and_ones / 300)
    assert high == pytest.approx(theirs.high, abs=0.02 * width + zeros_and_ones / 300)


def test_the_ratio_interval_equals_that_of_all_resamples() -> None:
    """Apply Efron's formula to the complete bootstrap distribution of seven queries."""
    sums, counts = [0.2, 1.1, 0.7, 2.4, 0.1, 0.9, 3.3], [1, 2, 2, 3, 1, 3, 4]
    size, ratio = 7, sum(sums) / sum(counts)
    outcomes: list[tuple[float, float]] = []
    for chosen in combinations_with_replacement(range(size), size):
        ways = factorial(size) / prod(factorial(chosen.count(number)) for number in range(size))
        value = sum(sums[place] for place in chosen) / sum(counts[place] for place in chosen)
        outcomes.append((value, ways / size**size))
    outcomes.sort()
    normal = NormalDist()
    bias = normal.inv_cdf(
        sum(share for value, share in outcomes if value < ratio - 1e-12)
        + sum(share for value, share in outcomes if abs(value - ratio) <= 1e-12) / 2
    )
    left = [
        (sum(sums) - total) / (sum(counts) - count)
        for total, count in zip(sums, counts, strict=True)
    ]
    off = [sum(left) / size - deviations for deviations in left]
    lean = sum(deviation**3 for deviation in off) / (
        6 * sum(deviation**2 for deviation in off) ** 1.5
    )
    expected = []
    for tail in (0.025, 0.975):
        moved = bias + normal.inv_cdf(tail)
        target, below = normal.cdf(bias + moved / (1 - lean * moved)), 0.0
        for value, share in outcomes:
            below += share
            if below >= target:
                expected.append(value)
                break
    assert expected == pytest.approx([0.325, 0.739], abs=0.001)
    assert ratio_interval(sums, counts, resamples=200_000) == pytest.approx(expected, abs=0.003)


def test_many_queries_take_the_normal_interval_and_bca_agrees_there() -> None:
    lot = np.random.default_rng(3)
    counts = lot.integers(1, 5, NORMAL_FROM)
    sums = lot.binomial(counts, 0.9)
    normal = ratio_interval(sums, counts)
    bca = ratio_interval(sums[1:], counts[1:], resamples=4_000)
    assert normal == pytest.approx(bca, abs=0.04 * (normal[1] - normal[0]))
    rows = np.ones(NORMAL_FROM)
    rows[0] = 0
    low, high = bootstrap_interval(rows)
    assert low < rows.mean() < high <= 1


def test_queries_without_rows_do_not_count_and_rows_are_clustered_by_query() -> None:
    assert ratio_interval([], []) is None
    assert ratio_interval([0, 0], [0, 0]) is None
    assert ratio_interval([1.0, 0, 2.0], [2, 0, 4]) is None
    sums, counts = [1.0, 2.0, 0.0, 4.0, 1.0], [2, 2, 2, 4, 3]
    assert ratio_interval([*sums, 0], [*counts, 0]) == ratio_interval(sums, counts)
    values = [0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    one_each = bootstrap_interval(values)
    ten_each = ratio_interval([10 * value for value in values], [10] * 8)
    assert ten_each == pytest.approx(one_each)


def test_holm_of_worked_numbers() -> None:
    assert holm([0.01, 0.04, 0.03]) == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        pytest.approx(0.06),
    ]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_of_the_literature() -> None:
    """The fifteen p-values of Benjamini and Hochberg (1995, section 4.1): Holm's procedure rejects
    the first three at 5 %, as Bonferroni does (which they say of it and of Hochberg's)."""
    p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
        0.5719, 0.6528, 0.7590, 1.000,
    ]  # fmt: skip
    adjusted = holm(p_values)
    assert adjusted[:5] == pytest.approx([0.0015, 0.0056, 0.0247, 0.1140, 0.2211])
    assert [adjusted_p <= 0.05 for adjusted_p in adjusted] == [True] * 3 + [False] * 12


@given(st.lists(st.floats(0, 1), max_size=10))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(new >= old for new, old in zip(adjusted, p_values, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_wilson_interval_of_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for successes, count, low, high in [
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:  # fmt: skip
        assert wilson_interval(successes, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(20, 20)[1] == 1.0


def test_shares_of_nothing_and_all_have_an_interval() -> None:
    low, high = ratio_interval([0] * 20, [2] * 20)
    assert low == 0.0
    assert high == pytest.approx(wilson_interval(0, 20)[1])
    assert ratio_interval([3] * 20, [3] * 20) == pytest.approx((1 - high, 1.0))
    assert ratio_interval([3] * 20, [3] * 20, share=False) is None
    assert ratio_interval([1] * 20, [2] * 20) is None


def test_comparison_counts_queries_won_tied_and_lost() -> None:
    comparison = paired_comparison([1.0, 0.5, 0.2, 0.7], [0.5, 0.5, 0.3, 0.7 + 1e-12])
    assert (comparison["win"], comparison["tie"], comparison["loss"], comparison["queries"]) == (
        1,
        2,
        1,
        4,
    )
    assert comparison["difference"] == pytest.approx(0.1)
    assert [row["p_holm"] for row in with_holm([{"p": 0.01}, {"p": 0.04}])] == [0.02, 0.04]
