"""How far judge, teacher and student differ."""

from typing import Any

import pytest

from prism_cli.domain.disagreement import disagreement, opinions


@pytest.mark.parametrize(
    ("row", "sides", "difference"),
    [
        ({"votes": {"j": "yes"}, "teacher_score": 0.2}, {"judge": 1, "teacher": 0.2}, 0.8),
        ({"teacher_score": 0.9, "score": 0.4}, {"teacher": 0.9, "student": 0.4}, 0.5),
        (
            {"votes": {"j": "no"}, "teacher_score": 0.9, "score": 0.4},
            {"judge": 0, "teacher": 0.9, "student": 0.4},
            0.9,
        ),
        ({"votes": {"j": "yes", "k": "no", "l": None}, "score": 0},
         {"judge": 0.5, "student": 0}, 0.5),
        (
            {"votes": {"j": "yes"}, "vote_probabilities": {"j": 0.7}, "score": 0.7},
            {"judge": 0.7, "student": 0.7},
            0,
        ),
        (
            {"votes": {"j": "yes"}, "vote_probabilities": {"j": None}, "score": 0.7},
            {"judge": 1, "student": 0.7},
            0.3,
        ),
        ({"votes": {"j": None}, "score": 0.3}, {"student": 0.3}, None),
        ({"votes": None, "teacher_score": None}, {}, None),
    ],
)  # fmt: skip
def test_sides_and_their_largest_difference(
    row: dict[str, Any], sides: dict[str, float], difference: float | None
) -> None:
    assert opinions(row) == sides
    assert disagreement(row) == (None if difference is None else pytest.approx(difference))
