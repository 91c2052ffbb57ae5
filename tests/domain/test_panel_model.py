"""Rates of judges and shares of vote patterns, from audit rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.domain.panel_model import NO, SILENT, UNASKED, YES, JudgeRates, pattern_weights
from tests.panels import copying, drawn, independent


def counts_of(panel, rows: int):  # type: ignore[no-untyped-def]
    """Return expected counts instead of drawn ones, so that estimates have no noise."""
    return {pattern: round(rows * chance) for pattern, chance in panel.items()}


def test_rates_of_independent_judges_are_recovered() -> None:
    right = (0.95, 0.9, 0.85, 0.8, 0.75)
    rates = JudgeRates.fit(counts_of(independent(*right, base=0.3), 1_000_000), 5)
    assert rates.base == pytest.approx(0.3, abs=0.002)
    for pair, expected in zip(rates.right(), right, strict=True):
        assert pair == pytest.approx((expected, expected), abs=0.003)


def test_posterior_of_two_votes_by_hand() -> None:
    table = np.array([[[0.9, 0.1, 0.0], [0.8, 0.1, 0.1]], [[0.2, 0.8, 0.0], [0.3, 0.5, 0.2]]])
    rates = JudgeRates(0.25, table)
    assert rates.posterior([UNASKED, UNASKED]) == 0.25
    yes, no = 0.25 * 0.9 * 0.1, 0.75 * 0.2 * 0.5
    assert rates.posterior([YES, NO]) == pytest.approx(yes / (yes + no))
    assert rates.posterior([YES, NO], prior=0.5) == pytest.approx(0.09 / (0.09 + 0.1))
    yes, no = 0.25 * 0.1, 0.75 * 0.2  # an abstention says something, too
    assert rates.posterior([UNASKED, SILENT]) == pytest.approx(yes / (yes + no))


def test_a_judge_that_often_abstains_has_that_rate() -> None:
    votes = {("yes", "yes", None): 40, ("no", "no", None): 40, ("yes", "yes", "yes"): 20}
    rates = JudgeRates.fit(votes, 3)
    assert rates.rates[:, 2, SILENT].mean() == pytest.approx(0.8, abs=0.2)
    assert rates.rates.sum(2) == pytest.approx(1)
    assert rates.rates[0, 0, SILENT] < 0.01


def test_an_abstention_is_no_error() -> None:
    """The third judge votes on four rows in ten, and is right in .95 of its votes."""
    three = counts_of(independent(0.92, 0.92, 0.95), 400_000)
    silent = counts_of(independent(0.92, 0.92), 600_000)
    rates = JudgeRates.fit(three | {(*pair, None): rows for pair, rows in silent.items()}, 3)
    assert rates.right()[2] == pytest.approx((0.95, 0.95), abs=0.01)
    assert rates.silent() == pytest.approx([0, 0, 0.6], abs=1e-3)


def test_without_rows_the_prior_holds() -> None:
    weights = pattern_weights({}, JudgeRates.fit({}, 5))
    share = weights / weights.sum()
    assert weights.shape == (3,) * 5
    assert share[YES, YES, NO, NO, NO] == pytest.approx(share[NO, NO, YES, YES, YES])
    assert JudgeRates.fit({}, 2).right() == [pytest.approx((0.83, 0.83))] * 2
    assert JudgeRates.fit({}, 2).silent() == [pytest.approx(0.01)] * 2


def test_patterns_of_judges_that_err_together_are_seen() -> None:
    """Both wrong against three that are right: .034, of independent judges .0055 for both sides."""
    panel = copying(0.92, 0, 1, 0.5)
    true = panel["yes", "yes", "no", "no", "no"] + panel["no", "no", "yes", "yes", "yes"]
    for rows, low, high in ((300, 0.011, 0.05), (20_000, 0.9 * true, 1.1 * true)):
        counts = drawn(panel, rows, seed=3)
        weights = pattern_weights(counts, JudgeRates.fit(counts, 5))
        share = (weights[YES, YES, NO, NO, NO] + weights[NO, NO, YES, YES, YES]) / weights.sum()
        assert low < share < high


def test_patterns_that_never_occurred_have_a_small_share_of_independent_judges() -> None:
    counts = drawn(independent(*[0.92] * 5), 100, seed=1)
    weights = pattern_weights(counts, JudgeRates.fit(counts, 5))
    rare = weights[YES, NO, NO, NO, YES] / weights.sum()
    assert counts["yes", "no", "no", "no", "yes"] == 0
    assert 0 < rare < 0.01
    assert weights.sum() > 100


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.tuples(*[st.sampled_from(["yes", "no", None])] * 3), st.integers(1, 50), max_size=8
    )
)
def test_weights_hold_every_row_and_leave_nothing_out(patterns: dict[tuple[str], int]) -> None:
    weights = pattern_weights(patterns, JudgeRates.fit(patterns, 3))
    assert (weights > 0).all()
    assert weights.sum() > sum(patterns.values())
