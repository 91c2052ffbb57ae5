"""Calibration of scores, against worked numbers and a computation from the full list."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.score_calibration import BINS, ScoreCalibration

judged = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["yes", "no"])), min_size=1, max_size=60
)


def calibration_of(rows: list[tuple[float, str]]) -> ScoreCalibration:
    calibration = ScoreCalibration()
    for score, verdict in rows:
        calibration.add(score, verdict)
    return calibration


def test_figures_equal_worked_numbers() -> None:
    rows = [(0.9, "yes"), (0.9, "yes"), (0.9, "no"), (0.2, "no"), (0.2, "yes")]
    content = calibration_of(rows).content()
    assert content["rows"] == 5
    assert content["yes_rate"] == 0.6
    assert content["mean_score"] == pytest.approx(0.62)
    assert content["brier"] == pytest.approx((0.01 + 0.01 + 0.81 + 0.04 + 0.64) / 5)
    # Two bins: three rows at .9 with 2/3 yes, two at .2 with 1/2.
    assert content["ece"] == pytest.approx(3 / 5 * (0.9 - 2 / 3) + 2 / 5 * 0.3)
    assert content["brier_reliability"] == pytest.approx(
        3 / 5 * (0.9 - 2 / 3) ** 2 + 2 / 5 * 0.3**2
    )
    assert content["brier_resolution"] == pytest.approx(3 / 5 * (2 / 3 - 0.6) ** 2 + 2 / 5 * 0.01)
    assert content["brier_uncertainty"] == pytest.approx(0.24)
    assert content["brier_within_bins"] == pytest.approx(0)  # one score a bin
    assert content["log_loss"] == pytest.approx(
        -(2 * math.log(0.9) + math.log(0.1) + math.log(0.8) + math.log(0.2)) / 5
    )
    assert content["auc"] == pytest.approx(3.5 / 6)  # ties count half


@given(judged)
def test_figures_equal_those_of_the_full_list(rows: list[tuple[float, str]]) -> None:
    calibration = calibration_of(rows)
    content = calibration.content()
    wide: dict[int, list[tuple[float, str]]] = {}
    for score, verdict in rows:
        wide.setdefault(min(int(score * BINS + 1e-9), BINS - 1), []).append((score, verdict))
    ece = sum(
        abs(sum(verdict == "yes" for _, verdict in bin) - sum(score for score, _ in bin))
        for bin in wide.values()
    ) / len(rows)
    assert content["ece"] == pytest.approx(ece)
    brier = sum((score - (verdict == "yes")) ** 2 for score, verdict in rows) / len(rows)
    assert content["brier"] == pytest.approx(brier)
    parts = ("reliability", "uncertainty", "resolution", "within_bins")
    reliability, uncertainty, resolution, within = (
        content[name] if name == "brier_within_bins" else content[f"brier_{name}"] for name in parts
    )
    assert reliability + uncertainty - resolution + within == pytest.approx(brier)  # type: ignore[operator]
    for curve in calibration.curves().values():
        assert sum(point["rows"] for point in curve) == len(rows)
        for point in curve:
            assert point["from"] - 1e-9 <= point["mean_score"] <= point["to"] + 1e-9
            assert 0 <= point["low"] <= point["yes_rate"] <= point["high"] <= 1


def test_calibrated_scores_have_the_ece_of_chance_and_miscalibrated_ones_more() -> None:
    dice = random.Random(3)
    straight, bent, few = ScoreCalibration(), ScoreCalibration(), ScoreCalibration()
    for number in range(40_000):
        score = dice.random()
        verdict = "yes" if dice.random() < score else "no"
        straight.add(score, verdict)
        bent.add(score**2, verdict)
        if number < 300:
            few.add(score, verdict)
    true, off, small = straight.content(), bent.content(), few.content()
    assert true["ece"] < 0.012  # type: ignore[operator]
    assert true["ece_equal_mass"] < 0.012  # type: ignore[operator]
    assert true["ece_by_chance"] == pytest.approx(true["ece"], rel=0.7)
    assert off["ece"] == pytest.approx(1 / 6, abs=0.01)  # the mean of x - x²
    # Few rows look worse than they are, as their chance level shows.
    assert small["ece_by_chance"] == pytest.approx(small["ece"], rel=0.7)
    assert small["ece"] > 4 * true["ece"]  # type: ignore[operator]


def test_equal_mass_bins_do_not_split_equal_scores() -> None:
    rows = [(0.0, "no")] * 900 + [(0.5 + number / 1000, "yes") for number in range(100)]
    curve = calibration_of(rows).curves()["equal_mass"]
    assert [point["rows"] for point in curve] == [900, 34, 66]


def test_scores_at_both_ends_of_the_scale_count() -> None:
    calibration = calibration_of([(0.0, "no"), (1.0, "yes"), (1.0, "no")])
    content = calibration.content()
    assert content["log_loss"] == pytest.approx(-math.log(1e-7) / 3, rel=1e-6)
    assert [point["to"] for point in calibration.curves()["equal_width"]] == [1 / BINS, 1.0]


def test_without_rows_there_is_no_figure() -> None:
    calibration = ScoreCalibration()
    assert calibration.content()["rows"] == 0
    assert calibration.content()["ece"] is None
    assert calibration.curves() == {"equal_width": [], "equal_mass": []}
