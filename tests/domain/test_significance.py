"""Laws of the tests and intervals, and their values where they can be worked out."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prism_cli.domain.significance import bootstrap_interval, holm, permutation_p

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


def test_drawn_flips_agree_with_all_flips() -> None:
    lot = random.Random(7)
    first = [lot.random() for _ in range(14)]
    second = [value + lot.gauss(0.1, 0.2) for value in first]
    exact = permutation_p(first, second, permutations=2**14)
    drawn = permutation_p(first, second, permutations=2**14 - 1)
    assert drawn == pytest.approx(exact, abs=0.01)


def test_p_is_never_zero_and_is_repeatable() -> None:
    better, worse = [1.0] * 100, [0.0] * 100
    assert permutation_p(better, worse) == pytest.approx(1 / 20_001)
    lot = random.Random(1)
    noisy = [lot.random() for _ in range(100)]
    assert permutation_p(noisy, worse, seed=3) == permutation_p(noisy, worse, seed=3)


def test_p_is_uniform_enough_under_the_null() -> None:
    lot = random.Random(5)
    found = []
    for _ in range(200):
        pairs = [(lot.random(), lot.random()) for _ in range(25)]
        found.append(permutation_p(*zip(*pairs, strict=True), permutations=400))
    assert 0.01 <= sum(p <= 0.05 for p in found) / 200 <= 0.10


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    lot = random.Random(11)
    hits = 0
    for _ in range(150):
        low, high = bootstrap_interval([lot.random() for _ in range(40)], resamples=600)
        hits += low <= 0.5 <= high
    assert 0.89 <= hits / 150 <= 1.0


def test_interval_leans_with_a_skewed_sample() -> None:
    sample = [1.0] * 30 + [0.0] * 3
    low, high = bootstrap_interval(sample)
    mean = 30 / 33
    plain = stats.bootstrap(
        (sample,), np.mean, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert low < plain.low  # bias and acceleration both pull towards the tail
    assert low < mean < high
    assert mean - low > high - mean


def test_interval_of_equal_values_is_that_value() -> None:
    assert bootstrap_interval([0.25] * 8) == (0.25, 0.25)
    assert bootstrap_interval([0.5]) == (0.5, 0.5)
    assert bootstrap_interval([]) == (0.0, 0.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        pytest.approx(0.06),
    ]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=10))
def test_holm_never_lowers_a_p_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(new >= old for new, old in zip(adjusted, p_values, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)
