"""Measures against hand-computed values."""

import math

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.metrics import default_measures, mean, query_values, ranked, without_itself

QRELS = {"q1": {"a": 1, "b": 2, "gone": 1}, "q2": {"c": 1}, "q3": {"d": 1}}


def values(run: dict[str, list[tuple[str, float]]], measure: str) -> list[float]:
    return query_values(QRELS, run, ["q1", "q2", "q3"], [measure])[measure]


def test_ndcg_has_linear_gains_and_the_ideal_of_all_judged_documents() -> None:
    run = {"q1": [("x", 3.0), ("a", 2.0), ("b", 1.0)]}
    gained = 1 / math.log2(3) + 2 / math.log2(4)
    ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert values(run, "nDCG@10")[0] == pytest.approx(gained / ideal, abs=1e-12)


def test_other_measures_equal_hand_computed_values() -> None:
    run = {"q1": [("x", 3.0), ("a", 2.0), ("b", 1.0)], "q2": [("c", 9.0)]}
    assert values(run, "RR@10")[:2] == [0.5, 1.0]
    assert values(run, "P@1")[:2] == [0.0, 1.0]
    assert values(run, "R@2")[0] == pytest.approx(1 / 3)
    assert values(run, "AP@20")[0] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert values(run, "AP@2")[0] == pytest.approx(1 / 2 / 3)
    assert values(run, "AP")[0] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert values(run, "nDCG@1")[:2] == [0.0, 1.0]
    assert values(run, "Judged@10") == [pytest.approx(2 / 3), 1.0, 0.0]
    assert values(run, "Judged@1")[0] == 0.0


def test_reciprocal_rank_stops_at_its_cutoff() -> None:
    run = {"q2": [(f"x{i}", 20.0 - i) for i in range(10)] + [("c", 1.0)]}
    assert values(run, "RR@10")[1] == 0.0
    assert values(run, "RR@11")[1] == pytest.approx(1 / 11)


def test_query_without_candidates_counts_zero_and_stays_in_the_mean() -> None:
    measured = values({"q2": [("c", 1.0)]}, "nDCG@10")
    assert measured == [0.0, 1.0, 0.0]
    assert mean(measured) == pytest.approx(1 / 3)


def test_no_candidates_at_all_is_zero_everywhere() -> None:
    assert values({}, "RR@10") == [0.0, 0.0, 0.0]


def test_ties_are_ordered_by_falling_document_id_as_trec_eval_does() -> None:
    assert [doc for doc, _ in ranked([("a", 1.0), ("c", 1.0), ("b", 2.0)])] == ["b", "c", "a"]
    assert values({"q2": [("c", 1.0), ("z", 1.0)]}, "P@1")[1] == 0.0
    assert values({"q2": [("c", 1.0), ("b", 1.0)]}, "P@1")[1] == 1.0


def test_scores_that_differ_beyond_single_precision_are_ties() -> None:
    close = [("a", 1.0 + 1e-12), ("b", 1.0)]
    assert [doc for doc, _ in ranked(close)] == ["b", "a"]


def test_negative_grade_counts_as_not_relevant() -> None:
    measured = query_values(
        {"q": {"a": -2, "b": 1}}, {"q": [("a", 2.0), ("b", 1.0)]}, ["q"], ["nDCG@10"]
    )
    assert measured["nDCG@10"] == [pytest.approx(1 / math.log2(3))]


def test_own_document_is_dropped_unless_it_is_judged() -> None:
    hits = [("q", 2.0), ("a", 1.0)]
    assert without_itself("q", hits, {"a": 1}) == [("a", 1.0)]
    assert without_itself("q", hits, {"q": 1}) == hits


def test_ids_that_differ_after_a_nul_are_different() -> None:
    qrels = {"q\0a": {"d\0x": 1}, "q\0b": {"d\0y": 1}}
    run = {"q\0a": [("d\0x", 1.0), ("d\0y", 2.0)], "q\0b": [("d\0x", 1.0), ("d\0y", 2.0)]}
    assert query_values(qrels, run, list(qrels), ["P@1"])["P@1"] == [0.0, 1.0]


def test_unknown_measure_is_refused() -> None:
    with pytest.raises(NameError, match="MRS"):
        query_values(QRELS, {}, ["q1"], ["MRS@10"])


IDS = st.sampled_from("abcdefghij")
RUNS = st.dictionaries(
    st.sampled_from(["q1", "q2", "q3"]),
    st.dictionaries(IDS, st.integers(-3, 3).map(lambda score: score / 2), min_size=1),
)
GRADES = st.fixed_dictionaries(
    {query: st.dictionaries(IDS, st.integers(0, 3), min_size=1) for query in ("q1", "q2", "q3")}
)


@given(GRADES, RUNS)
def test_measures_and_ties_are_those_of_trec_eval(
    qrels: dict[str, dict[str, int]], scores: dict[str, dict[str, float]]
) -> None:
    """Random runs have ties, negative scores, unjudged documents, and missing queries."""
    trec_names = {
        "nDCG@10": "ndcg_cut_10", "nDCG@1": "ndcg_cut_1", "nDCG@3": "ndcg_cut_3", "AP": "map",
        "AP@2": "map_cut_2", "P@1": "P_1", "R@2": "recall_2", "R@100": "recall_100",
        "RR@100": "recip_rank",
    }  # fmt: skip
    run = {query: list(hits.items()) for query, hits in scores.items()}
    ours = query_values(qrels, run, list(qrels), list(trec_names))
    asked = {"ndcg_cut.1,3,10", "map", "map_cut.2", "P.1", "recall.2,100", "recip_rank"}
    evaluated = pytrec_eval.RelevanceEvaluator(qrels, asked).evaluate(scores)
    for name, trec_name in trec_names.items():
        expected = [evaluated.get(query, {}).get(trec_name, 0.0) for query in qrels]
        assert ours[name] == expected, name


@given(GRADES, RUNS)
def test_measures_without_one_in_trec_eval(
    qrels: dict[str, dict[str, int]], scores: dict[str, dict[str, float]]
) -> None:
    run = {query: list(hits.items()) for query, hits in scores.items()}
    values = query_values(qrels, run, list(qrels), ["RR@3", "Judged@2"])
    for place, (query, grades) in enumerate(qrels.items()):
        order = [doc_id for doc_id, _ in ranked(run.get(query, ()))]
        relevant = [rank for rank, doc in enumerate(order[:3], 1) if grades.get(doc, 0) > 0]
        head = order[:2]
        judged = sum(doc_id in grades for doc_id in head) / len(head) if head else 0
        assert values["RR@3"][place] == (1 / relevant[0] if relevant else 0)
        assert values["Judged@2"][place] == judged


def test_default_measures_are_unique() -> None:
    assert default_measures(10).count("R@10") == 1
    assert default_measures(20)[0] == "nDCG@10"


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_a_shift_of_all_scores_changes_nothing(scores: list[float]) -> None:
    hits = [(f"d{i}", round(score, 3)) for i, score in enumerate(scores)]
    run = {"q": hits}
    moved = {"q": [(doc, score + 8) for doc, score in hits]}
    qrels = {"q": {"d0": 1}}
    assert query_values(qrels, run, ["q"], ["nDCG@10"]) == query_values(
        qrels, moved, ["q"], ["nDCG@10"]
    )
