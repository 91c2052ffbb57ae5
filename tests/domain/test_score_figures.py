"""Figures of many scores, against a computation from the full list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.score_figures import BINS, ScoreFigures

binned = st.integers(0, BINS).map(lambda number: number / BINS)
judged = st.lists(st.tuples(binned, st.sampled_from(["yes", "no", None])), min_size=1, max_size=60)


def figures_of(rows: list[tuple[float, str | None]]) -> ScoreFigures:
    figures = ScoreFigures()
    for score, verdict in rows:
        figures.add(score, verdict)
    return figures


@given(judged)
def test_figures_equal_those_of_the_full_list(rows: list[tuple[float, str | None]]) -> None:
    figures = figures_of(rows)
    row = figures.row()
    assert row["scores"] == figures.count == len(rows)
    assert sum(figures.histogram().values()) == len(rows)
    yes = [score for score, verdict in rows if verdict == "yes"]
    no = [score for score, verdict in rows if verdict == "no"]
    agreed = [score > 0.5 for score in yes] + [score <= 0.5 for score in no]
    assert row["agreement"] == (round(sum(agreed) / len(agreed), 4) if agreed else None)
    pairs = [(high > other) + (high == other) / 2 for high in yes for other in no]
    auc = sum(pairs) / len(pairs) if pairs else None
    assert row["AUC"] == (None if auc is None else pytest.approx(auc, abs=1e-4))


def test_quantiles_and_histogram_of_known_scores() -> None:
    figures = figures_of([(number / 100, None) for number in range(101)])
    row = figures.row()
    assert (row["p10"], row["p50"], row["p90"]) == (0.1, 0.5, 0.9)
    assert row["mean"] == 0.5
    assert figures.histogram() == {f"{low / 10:.2f}": 10 for low in range(9)} | {"0.90": 11}


def test_without_rows_the_count_is_zero() -> None:
    assert ScoreFigures().row() == {"scores": 0}
