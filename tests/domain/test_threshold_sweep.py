"""The threshold sweep, against a loop over all rows."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.threshold_sweep import THRESHOLDS, ThresholdSweep


@dataclass(frozen=True)
class One:
    """Row of the sweep."""

    score: float
    verdict: str | None
    document: int
    evidence: int | None
    query: str
    read: bool | None
    whole: bool


rows_of = st.lists(
    st.builds(
        One,
        st.floats(0, 1) | st.sampled_from(THRESHOLDS),
        st.sampled_from(["yes", "no", None]),
        st.integers(0, 500),
        st.none() | st.integers(0, 100),
        st.sampled_from("abc"),
        st.booleans(),
        st.booleans(),
    ),
    max_size=30,
)


def sweep_of(rows: list[One], without_answers: str = "c") -> ThresholdSweep:
    sweep = ThresholdSweep()
    for row in rows:
        sweep.add(
            row.score, row.verdict, row.document, row.evidence, query_id=row.query,
            answer_read=None if row.query in without_answers else row.read,
            answer_in_document=row.whole,
        )  # fmt: skip
    return sweep


def share(part: int, total: int) -> float | None:
    return None if not total else part / total


@given(rows_of)
def test_every_point_equals_that_of_a_loop(rows: list[One]) -> None:
    points = sweep_of(rows).points()
    assert [point["threshold"] for point in points] == list(THRESHOLDS)
    queries = {row.query for row in rows} - {"c"}
    everything = sum(row.document for row in rows)
    for point in points:
        selected = [row for row in rows if row.score > point["threshold"]]  # type: ignore[operator]
        judged = [row for row in selected if row.verdict]
        yes = sum(row.verdict == "yes" for row in selected)
        relevant = sum(row.verdict == "yes" for row in rows)
        read = sum(row.document if row.evidence is None else row.evidence for row in selected)
        documents = sum(row.document for row in selected)
        assert point == {
            "threshold": point["threshold"],
            "kept": len(selected),
            "kept_share": share(len(selected), len(rows)),
            "precision": share(yes, len(judged)),
            "recall": share(yes, relevant),
            "f1": share(2 * yes, len(judged) + relevant),
            "tokens_read": read,
            "tokens_kept": documents,
            "saved": share(everything - read, everything),
            "saved_of_kept": share(documents - read, documents),
            "answer_kept": share(
                len({row.query for row in selected if row.read} - {"c"}), len(queries)
            ),
            "answer_in_kept": share(
                len({row.query for row in selected if row.whole} - {"c"}), len(queries)
            ),
        }


def test_figures_at_the_threshold_of_the_verdict_and_below() -> None:
    rows = [
        One(0.9, "yes", 100, 20, "a", True, True),
        One(0.6, "no", 100, 30, "a", False, False),
        One(0.4, "yes", 100, None, "b", True, True),
        One(0.5, "no", 100, None, "b", False, False),  # .5 is no yes
    ]
    sweep = sweep_of(rows)
    content = sweep.content()
    assert (content["threshold"], content["kept"], content["tokens_read"]) == (0.5, 2, 50)
    assert (content["precision"], content["recall"], content["f1"]) == (0.5, 0.5, 0.5)
    assert (content["saved"], content["saved_of_kept"]) == (0.875, 0.75)
    assert (content["answer_kept"], content["queries_with_answer"]) == (0.5, 2)
    low = sweep.points()[39]
    assert (low["kept"], low["tokens_read"], low["answer_kept"]) == (4, 250, 1.0)
    assert content["best_f1"] == pytest.approx(2 / 3)
    assert content["best_f1_threshold"] == 0.0  # the lowest of equally good ones


def test_without_rows_there_are_no_shares() -> None:
    content = ThresholdSweep().content()
    assert (content["rows"], content["kept"], content["tokens_read"]) == (0, 0, 0)
    names = ("precision", "recall", "f1", "saved", "answer_kept", "best_f1", "best_f1_threshold")
    assert all(content[name] is None for name in names)
