"""Logits to scores."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.scoring import relevance_score, verdict_of


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_score_stays_in_range_for_any_finite_logit(logit: float) -> None:
    assert 0 <= relevance_score(logit) <= 1


@given(st.floats(-30, 30))
def test_score_is_the_logistic_function(logit: float) -> None:
    assert relevance_score(logit) == pytest.approx(1 / (1 + math.exp(-logit)))
    assert relevance_score(-logit) == pytest.approx(1 - relevance_score(logit))


def test_verdict_is_yes_only_above_zero() -> None:
    assert [verdict_of(logit) for logit in (-1e-9, 0.0, 1e-9)] == ["no", "no", "yes"]
