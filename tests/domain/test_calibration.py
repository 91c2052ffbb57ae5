"""Calibration keeps order and range; the fitted boundary is optimal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.calibration import (
    MIN_FIT_ROWS,
    NoBoundaryError,
    calibrated,
    default_calibration,
    fitted_boundary,
    labelled_scores,
    raw_mean,
)

unit = st.floats(0, 1)
exponents = st.floats(0.01, 100)
scores = st.integers(0, 10**6).map(lambda number: number / 10**6)
labelled = st.lists(st.tuples(scores, st.booleans()), min_size=MIN_FIT_ROWS, max_size=60)


@given(unit, unit, exponents)
def test_calibration_keeps_order_and_maps_the_unit_interval_into_itself(
    first: float, other: float, exponent: float
) -> None:
    low, high = sorted((first, other))
    assert 0 <= calibrated(low, exponent) <= calibrated(high, exponent) <= 1
    assert calibrated(0, exponent) == 0
    assert calibrated(1, exponent) == 1


@given(st.dictionaries(st.text(max_size=5), unit, min_size=1, max_size=8))
def test_mean_lies_between_the_scores_and_does_not_depend_on_their_order(
    given_scores: dict[str, float],
) -> None:
    mean = raw_mean(given_scores, list(given_scores))
    assert min(given_scores.values()) - 1e-12 <= mean <= max(given_scores.values()) + 1e-12
    assert mean == raw_mean(given_scores, list(given_scores)[::-1])


def test_mean_is_over_the_named_teachers_only() -> None:
    assert raw_mean({"a": 0.2, "b": 0.4, "other": 1.0}, ["a", "b"]) == pytest.approx(0.3)
    with pytest.raises(KeyError):
        raw_mean({"a": 0.2}, ["a", "b"])


def test_the_exponent_belongs_to_exactly_the_voyage_pair() -> None:
    pair = default_calibration(["voyage/rerank-2.5", "voyage/rerank-2"])
    assert (pair.exponent, pair.known) == (1.609, True)
    assert calibrated(0.65, pair.exponent) == pytest.approx(0.5, abs=1e-3)
    assert pair.raw_boundary == pytest.approx(0.65, abs=1e-3)
    for others in (["voyage/rerank-2"], ["st:minilm"], [*("voyage/rerank-2", "x/y")]):
        assert (default_calibration(others).exponent, default_calibration(others).known) == (
            1.0,
            False,
        )


def _balanced(rows: list[tuple[float, bool]], boundary: float) -> float:
    yes = [raw > boundary for raw, is_yes in rows if is_yes]
    no = [raw <= boundary for raw, is_yes in rows if not is_yes]
    return (sum(yes) / len(yes) + sum(no) / len(no)) / 2


@given(labelled)
def test_fit_is_as_good_as_the_best_of_all_boundaries(rows: list[tuple[float, bool]]) -> None:
    try:
        boundary = fitted_boundary(rows)
    except NoBoundaryError:
        both = len({is_yes for _, is_yes in rows}) == 2
        assert not both or max(_balanced(rows, raw) for raw, _ in rows) <= 0.5
        return
    best = max(_balanced(rows, raw) for raw, _ in rows)
    assert _balanced(rows, boundary.raw) == pytest.approx(best) == boundary.balanced_accuracy
    assert boundary == fitted_boundary(rows[::-1])
    for raw, _ in rows:
        if abs(raw - boundary.raw) > 1e-9:
            assert (calibrated(raw, boundary.exponent) > 0.5) == (raw > boundary.raw)


def test_the_boundary_is_in_the_middle_of_its_plateau() -> None:
    rows = [(0.1, False)] * 15 + [(0.3, False)] * 5 + [(0.7, True)] * 10 + [(0.9, True)] * 2
    boundary = fitted_boundary(rows)
    assert boundary.raw == pytest.approx(0.5)
    assert boundary.exponent == pytest.approx(1.0)
    assert (boundary.balanced_accuracy, boundary.yes, boundary.no) == (1.0, 12, 20)


def test_rows_count_by_class_not_by_number() -> None:
    # 1,000 no against 10 yes: plain accuracy would call everything no.
    rows = [(0.2, False)] * 700 + [(0.6, False)] * 300 + [(0.6, True)] * 6 + [(0.8, True)] * 4
    assert 0.2 < fitted_boundary(rows).raw < 0.6


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0.2, False)] * 10 + [(0.8, True)] * 9, "expected 20 or more usable rows, found 19"),
        ([(0.2, False)] * 30, "found 0 yes and 30 no"),
        ([(0.2, True)] * 30, "found 30 yes and 0 no"),
        ([(0.2, True)] * 15 + [(0.8, False)] * 15, "no boundary"),
        ([(0.5, True)] * 15 + [(0.5, False)] * 15, "no boundary"),
    ],
    ids=["few", "no yes", "no no", "upside down", "one score"],
)
def test_rows_that_determine_no_boundary_are_refused(
    rows: list[tuple[float, bool]], message: str
) -> None:
    with pytest.raises(NoBoundaryError, match=message):
        fitted_boundary(rows)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1 - 1e-16, 5e-324]), st.booleans()),
                min_size=MIN_FIT_ROWS, max_size=40))  # fmt: skip
def test_extreme_scores_give_a_usable_exponent(rows: list[tuple[float, bool]]) -> None:
    try:
        boundary = fitted_boundary(rows)
    except NoBoundaryError:
        return
    assert 0.01 < boundary.exponent < 10**6


def test_only_rows_with_verdict_and_all_scores_are_fitted_on() -> None:
    rows = [
        {"verdict": "yes", "teacher_scores": {"a": 0.6, "b": 0.8, "c": 0.0}},
        {"verdict": None, "teacher_scores": {"a": 0.6, "b": 0.8}},
        {"verdict": "no", "teacher_scores": {"a": 0.6}},
        {"verdict": "no", "teacher_scores": {"a": 0.6, "b": 1.5}},
        {"verdict": "no", "teacher_scores": {"a": 0.6, "b": True}},
        {"verdict": "no", "teacher_scores": [0.6]},
        {"verdict": "no"},
    ]
    scores, passed = labelled_scores(rows, ["a", "b"])
    assert scores == [(pytest.approx(0.7), True)]
    assert passed == {"no verdict": 1, "no score of each of these teachers": 5}
