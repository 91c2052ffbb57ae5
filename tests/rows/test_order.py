"""The order of reranked rows, and AUC of rows whose scores are rounded to 1.0 and 0.0."""

from math import inf
from typing import Any

import pytest

from prism_cli.domain.calibration import Calibration
from prism_cli.domain.scoring import relevance_score
from prism_cli.evaluation.labels.figures import LabelFigures
from prism_cli.evaluation.quality.examples import WRONG_YES, Examples
from prism_cli.evaluation.quality.figures import QualityFigures
from prism_cli.evaluation.quality.stage import QualityStage
from prism_cli.rows.order import best_first, ordering_logit
from prism_cli.rows.results import result_pairs
from prism_cli.rows.row import Row
from prism_cli.rows.verdict_texts import read_verdict_texts
from prism_cli.stages.distill import DistillStage
from tests.factories import make_pair
from tests.fakes import ScriptedBatch

SATURATED = [("yes", 31.0), ("yes", 24.0), ("no", 18.0), ("yes", -17.0), ("no", -20.0)]
"""Five of the six pairs of a yes and a no are in order."""


def reranked(logits: list[tuple[str, float]], **fields: Any) -> list[Row]:
    return [
        make_pair(number)
        | {
            "verdict": verdict,
            "predicted_verdict": "yes" if logit > 0 else "no",
            "score": round(relevance_score(logit), 6),
            "logit": logit,
            **fields,
        }
        for number, (verdict, logit) in enumerate(logits)
    ]


def quality_auc(rows: list[Row], *, drop: str = "") -> float:
    measured = QualityFigures(0, 0)
    for row in rows:
        work: Any = QualityStage().work(row)
        with pytest.raises(StopIteration) as done:
            next(work)
        line = done.value.value
        line["quality"].pop(drop, None)
        measured.add(line)
    auc: float = measured.content()["quality"]["scores"]["auc"]
    return auc


def test_auc_of_saturated_scores_uses_the_logit() -> None:
    assert {row["score"] for row in reranked(SATURATED)} == {1.0, 0.0}
    assert quality_auc(reranked(SATURATED)) == pytest.approx(5 / 6)


def test_rows_without_logits_use_the_score() -> None:
    assert quality_auc(reranked(SATURATED), drop="logit") == pytest.approx((2 * 1.5 + 0.5) / 6)


def test_a_blank_document_without_a_logit_is_last() -> None:
    blank = reranked([("yes", 0.0)], score=0.0, logit=None)
    assert quality_auc(reranked([("no", -30.0), ("no", 30.0)]) + blank) == 0.0


def test_rows_with_and_without_a_logit_are_on_one_scale() -> None:
    old = reranked([("yes", -1.0), ("no", -3.0)])
    for row in old:
        del row["logit"]
    assert quality_auc(old + reranked([("no", -2.0), ("yes", 0.5)])) == 1.0


@pytest.mark.parametrize("score", [1e-12, 0.3, 0.1 + 0.2, 0.999999])
def test_log_odds_are_the_inverse_of_the_score(score: float) -> None:
    assert relevance_score(ordering_logit(score, None)) == pytest.approx(score)
    assert ordering_logit(0.0, None) == -inf
    assert ordering_logit(1.0, None) == inf


def test_results_have_their_logits() -> None:
    row: Row = {
        "query": "q",
        "documents": ["a", "b"],
        "results": [
            {"index": 1, "relevance_score": 1.0, "logit": 30.5, "verdict": "yes"},
            {"index": 0, "relevance_score": 1.0, "logit": 20.5, "verdict": "yes"},
        ],
    }
    assert [read_verdict_texts(pair).logit for pair in result_pairs(row)] == [30.5, 20.5]


def test_order_is_by_rank_then_logit_then_score_then_the_greater_id() -> None:
    def order(*rows: Row, own_order: bool = True) -> str:
        return "".join(
            item["doc_id"]
            for item in best_first(rows, lambda row: float(row["score"]), own=own_order)
        )

    a: Row = {"doc_id": "a", "score": 1.0, "logit": 20.0, "rank": 3}
    b: Row = {"doc_id": "b", "score": 1.0, "logit": 30.0, "rank": 2}
    c: Row = {"doc_id": "c", "score": 0.5, "logit": 0.0, "rank": 1}
    assert order(a, b, c) == "cba"
    assert order(*({**row, "rank": None} for row in (a, b, c))) == "bac"
    assert order(*({"doc_id": row["doc_id"], "score": row["score"]} for row in (a, b, c))) == "bac"
    assert order(a, b, c, own_order=False) == "bac"
    blank: Row = {"doc_id": "z", "score": 0.0, "logit": None}
    assert order(blank, {"doc_id": "a", "score": 0.0, "logit": -40.0}) == "az"


def test_teacher_scores_rounded_to_zero_use_each_teachers_score_in_distill_and_labels() -> None:
    teachers = [ScriptedBatch(spec=name, fingerprint=name) for name in ("t:one", "t:two")]
    stage, labels = DistillStage(teachers, Calibration(1.609, "given")), LabelFigures(0, 5)
    for number in range(10):
        row = make_pair(number) | {
            "verdict": "yes" if number >= 5 else "no",
            "teacher_scores": dict.fromkeys(("t:one", "t:two"), 1e-5 + number * 1e-6),
        }
        out: Any = stage.work(row)
        assert out["teacher_score"] == 0.0
        labels.add(out)
    scores: Any = stage.summary()["scores"]
    assert scores[-1]["AUC"] == 1.0
    assert labels.content()["labels"]["teacher_auc"] == 1.0


def test_the_worst_examples_are_ordered_by_logit() -> None:
    examples = Examples()
    for number, logit in enumerate((20.0, 40.0, 30.0)):
        quality = {"verdict": "yes", "score": 1.0, "logit": logit, "gold": {"answerable": False}}
        examples.add({"query_id": f"q{number}", "doc_id": "d", "quality": quality, "texts": {}})
    assert [row["query_id"] for row in examples.content()[WRONG_YES]] == ["q1", "q2", "q0"]
