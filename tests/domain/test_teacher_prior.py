"""P(yes) given a teacher's score."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.teacher_prior import TeacherPrior


def test_a_known_curve_is_recovered() -> None:
    generator = random.Random(0)
    scores = [generator.random() for _ in range(4000)]
    prior = TeacherPrior.fit(scores, [score**2 / (score**2 + (1 - score) ** 2) for score in scores])
    for score in (0.1, 0.3, 0.5, 0.8):
        expected = score**2 / (score**2 + (1 - score) ** 2)
        assert prior.probability(score) == pytest.approx(expected, abs=0.01)


def test_a_teacher_that_knows_nothing_gives_the_share_of_yes() -> None:
    scores = [number / 100 for number in range(100)]
    prior = TeacherPrior.fit(scores, [0.3] * 100)
    assert [prior.probability(score) for score in (0, 0.5, 1)] == pytest.approx([0.3] * 3, abs=0.01)


def test_a_teacher_that_says_the_opposite_is_not_believed() -> None:
    scores = [number / 100 for number in range(100)]
    prior = TeacherPrior.fit(scores, [1 - score for score in scores])
    assert prior.probability(0.9) == pytest.approx(prior.probability(0.1), abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_probabilities_rise_with_the_score_and_are_no_surer_than_the_rows(
    rows: list[tuple[float, float]],
) -> None:
    prior = TeacherPrior.fit([score for score, _ in rows], [yes for _, yes in rows])
    values = [prior.probability(step / 20) for step in range(21)]
    assert all(low <= high + 1e-9 for low, high in pairwise(values))
    edge = 1 / (len(rows) + 2)
    assert edge <= values[0] <= values[-1] <= 1 - edge
    assert not any(math.isnan(value) for value in values)
