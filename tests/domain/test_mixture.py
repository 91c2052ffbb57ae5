"""Mixture of rows in training steps."""

from collections import Counter
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.mixture import Mixture, Pools, draw_rows, epoch_draws, step_count

SIZES = st.integers(1, 60)
RATIOS = st.integers(1, 99).map(lambda percent: percent / 100)
MIXTURES = st.sampled_from(["sft", "mixed"])


def pools(n_sft: int, n_pointwise: int, shared: int = 0) -> Pools:
    """Return pools with `shared` rows in both."""
    start = n_sft - shared
    return Pools(list(range(n_sft)), list(range(start, start + n_pointwise)))


@pytest.mark.parametrize(
    ("n_sft", "n_pointwise", "ratio", "draws"),
    [
        (30, 70, 0.3, 100),
        (30, 71, 0.3, 102),
        (31, 70, 0.3, 104),
        (21, 1, 0.7, 30),  # 21 / 0.7 is 30.000000000000004 in floats
        (1, 90, 0.1, 100),
        (1, 9, 0.1, 10),
        (1, 9, 0.9, 90),  # 9 / (1 - 0.9) is 90.00000000000001
        (57, 1, 0.57, 100),
        (3, 5, 0.5, 10),
        (1, 1_000_000, 1e-05, 1_000_011),
    ],
)
def test_an_epoch_ends_when_the_larger_pool_is_exhausted(
    n_sft: int, n_pointwise: int, ratio: float, draws: int
) -> None:
    assert epoch_draws(pools(n_sft, n_pointwise), ratio) == draws


@given(SIZES, SIZES, st.integers(1, 99))
def test_an_epoch_is_the_formula_in_exact_arithmetic(
    n_sft: int, n_pointwise: int, percent: int
) -> None:
    ratio = Fraction(percent, 100)
    expected = max(ceil(n_pointwise / (1 - ratio)), ceil(n_sft / ratio))
    assert epoch_draws(pools(n_sft, n_pointwise), percent / 100) == expected


@pytest.mark.parametrize("mixture", ["sft", "mixed"])
def test_an_empty_pool_disables_the_ratio(mixture: Mixture) -> None:
    assert epoch_draws(pools(0, 9), 0.3, mixture) == 9
    assert epoch_draws(pools(9, 0), 0.3, mixture) == 9
    assert epoch_draws(pools(5, 9), 0.3, "sft") == 5
    nine = list(range(9))
    pointwise = draw_rows(pools(0, 9), 0.3, mixture, 0, 9)
    assert sorted(pointwise.rows) == nine
    assert not pointwise.from_sft.any()
    sft = draw_rows(pools(9, 0), 0.3, mixture, 0, 9)
    assert sorted(sft.rows) == nine
    assert sft.from_sft.all()


def test_pure_sft_never_draws_from_the_other_pool() -> None:
    draws = draw_rows(pools(5, 50, shared=2), 0.3, "sft", 0, 40)
    assert draws.from_sft.all()
    assert set(draws.rows) == set(range(5))


@pytest.mark.parametrize(
    ("draws", "epochs", "rows", "steps"),
    [
        (160, 1, 16, 10),
        (161, 1, 16, 11),
        (100, 1.1, 10, 11),  # 100 * 1.1 is 110.00000000000001
        (30, 0.1, 3, 1),
        (1, 0.01, 16, 1),
        (16, 2, 16, 2),
    ],
)
def test_number_of_steps_of_epochs(draws: int, epochs: float, rows: int, steps: int) -> None:
    assert step_count(draws, epochs, rows) == steps


def test_draws_are_from_the_sft_pool_with_the_ratio() -> None:
    for ratio in (0.3, 0.7):
        share = draw_rows(pools(100, 100), ratio, "mixed", 1, 20_000).from_sft.mean()
        assert abs(share - ratio) < 0.015  # 4.6 standard deviations


@given(SIZES, SIZES, RATIOS, MIXTURES, st.integers(0, 2**40), st.integers(0, 200))
def test_draws_are_a_pure_function_with_a_stable_prefix(
    n_sft: int, n_pointwise: int, ratio: float, mixture: Mixture, seed: int, count: int
) -> None:
    some = pools(n_sft, n_pointwise, shared=min(n_sft, n_pointwise) // 2)
    long = draw_rows(some, ratio, mixture, seed, 200)
    short = draw_rows(some, ratio, mixture, seed, count)
    assert np.array_equal(short.rows, long.rows[:count])
    assert np.array_equal(short.from_sft, long.from_sft[:count])
    assert np.array_equal(draw_rows(some, ratio, mixture, seed, 200).rows, long.rows)


@given(SIZES, SIZES, RATIOS, MIXTURES, st.integers(0, 99))
def test_no_row_is_drawn_again_before_all_of_its_pool(
    n_sft: int, n_pointwise: int, ratio: float, mixture: Mixture, seed: int
) -> None:
    some = pools(n_sft, n_pointwise)
    draws = draw_rows(some, ratio, mixture, seed, 300)
    assert len(draws.rows) == len(draws.from_sft) == 300
    for pool, chosen in ((some.sft, draws.from_sft), (some.pointwise, ~draws.from_sft)):
        counts = Counter(draws.rows[chosen].tolist())
        assert counts.keys() <= set(pool)
        times = [counts[row] for row in pool]
        assert max(times) - min(times) <= 1


def test_each_epoch_and_seed_has_its_own_order() -> None:
    draws = draw_rows(pools(50, 0), 0.3, "sft", 0, 100).rows
    assert not np.array_equal(draws[:50], draws[50:])
    assert not np.array_equal(draws, draw_rows(pools(50, 0), 0.3, "sft", 1, 100).rows)
    assert not np.array_equal(draws[:50], np.arange(50))


def test_the_pools_are_drawn_in_orders_of_their_own() -> None:
    rows = list(range(40))
    draws = draw_rows(Pools(rows, rows), 0.5, "mixed", 3, 80)
    sft, pointwise = draws.rows[draws.from_sft], draws.rows[~draws.from_sft]
    assert not np.array_equal(sft[:30], pointwise[:30])
