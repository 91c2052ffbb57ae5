"""AUC against all pairs."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.ranks import RankAuc
from prism_cli.domain.score_calibration import ScoreCalibration
from prism_cli.domain.score_figures import ScoreFigures

Rows = list[tuple[float, bool]]
rows = st.lists(st.tuples(st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]), st.booleans()))


def by_pairs(rows: Rows) -> float | None:
    yes = [score for score, is_yes in rows if is_yes]
    no = [score for score, is_yes in rows if not is_yes]
    won = [(high > other) + (high == other) / 2 for high in yes for other in no]
    return sum(won) / len(won) if won else None


def counted(rows: Rows, exact_rows: int) -> tuple[float | None, float | None]:
    auc = RankAuc(exact_rows)
    for score, yes in rows:
        auc.add(score, yes)
    return auc.figures()


@given(rows)
def test_auc_is_the_share_of_pairs_in_order(rows: Rows) -> None:
    value, error = counted(rows, 1000)
    assert value == (None if (expected := by_pairs(rows)) is None else pytest.approx(expected))
    assert error in (0, None)


@given(rows, st.integers(1, 20))
def test_beyond_the_exact_rows_the_error_is_reported(rows: Rows, exact_rows: int) -> None:
    value, error = counted(rows, exact_rows)
    expected = by_pairs(rows)
    if expected is None:
        assert value is error is None
    else:
        assert value is not None
        assert error is not None
        assert abs(value - expected) <= error + 1e-12


def test_error_of_many_rows_is_small() -> None:
    lot = random.Random(0)
    rows = [(lot.betavariate(0.1, 2), lot.random() < 0.3) for _ in range(4000)]
    value, error = counted(rows, 2000)
    assert value is not None
    assert error is not None
    assert 0 < error < 0.002
    assert counted(rows, 4000) == (pytest.approx(value, abs=error), 0.0)


@pytest.mark.parametrize("low", [0.0, 0.9999], ids=["near 0", "near 1"])
def test_saturated_scores_keep_their_order(low: float) -> None:
    calibration, figures = ScoreCalibration(), ScoreFigures()
    for number in range(40):
        score = low + number * 1e-7
        calibration.add(score, "yes" if number >= 20 else "no")
        figures.add(score, "yes" if number >= 20 else "no")
    assert calibration.content()["auc"] == figures.row()["AUC"] == 1.0
    assert calibration.content()["auc_error"] == 0.0
