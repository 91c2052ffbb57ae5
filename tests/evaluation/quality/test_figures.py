"""Lines of rows.jsonl to figures, on worked numbers; the few worst rows."""

from typing import Any

import pytest

from prism_cli.domain.fidelity import CHARACTERS
from prism_cli.domain.significance import ratio_interval, wilson_interval
from prism_cli.evaluation.quality.examples import KEPT
from prism_cli.evaluation.quality.figures import QualityFigures

EVIDENCE = {
    "characters": 50, "tokens": 10,
    "entities": {"number": [1, 2], "name": [1, 1], CHARACTERS: [0, 9]},
    "missing": ["77"], "words": 10, "copied": 8, "density": 4.0, "new": [1, 2, 3, 4],
    "ngrams": [10, 9, 8, 7], "language_difference": None,
}  # fmt: skip


def line(query: str = "q1", doc: str = "d", **quality: Any) -> dict[str, Any]:
    content = {
        "predicted": True, "verdict": "yes", "label": None, "score": None, "asked": True,
        "format_ok": True, "document_characters": 100, "document_tokens": 40,
    }  # fmt: skip
    texts = {"query": f"{query}?", "evidence": "e", "document": "d"}
    return {"query_id": query, "doc_id": doc, "quality": content | quality, "texts": texts}


def content_of(*lines: dict[str, Any], gold_rows: int = 0) -> dict[str, Any]:
    measured = QualityFigures(0, gold_rows)
    for one in lines:
        measured.add(one)
    return measured.content()


def test_means_over_rows_and_pooled_entities() -> None:
    other = EVIDENCE | {
        "characters": 120, "tokens": 30, "entities": {"number": [5, 5]}, "copied": 10,
        "language_difference": "French", "ngrams": [10, 9, 8, 0], "new": [0, 0, 0, 0],
    }  # fmt: skip
    content = content_of(line(evidence=EVIDENCE), line(evidence=other, format_ok=False))
    quality, statistics = content["quality"], content["statistics"]
    assert quality["entity_fidelity"] == 7 / 8
    assert quality["entity_fidelity_number"] == 6 / 7
    assert quality["entity_fidelity_date"] is None
    assert quality["entity_fidelity_neighbouring_characters"] == 0
    assert quality["copied_share"] == pytest.approx(0.9)
    assert quality["novelty"] == pytest.approx(10 / 34 / 2)
    assert (quality["novelty_4"], statistics["counts"]["novelty_4"]) == (4 / 7, 1)
    assert quality["compression_median"] == pytest.approx(0.85)
    assert quality["compression_q1"] == pytest.approx(0.675)
    assert quality["compression_tokens_median"] == 0.5
    assert (quality["longer_than_document"], quality["language_agreement"]) == (0.5, 0.5)
    assert quality["format_compliance"] == 0.5
    histogram = statistics["compression_histogram"]
    assert {name for name, count in histogram.items() if count} == {"0.5-0.6", "longer"}
    assert quality["answer_retention"] is None


def test_verdicts_against_labels_and_people() -> None:
    def marked(answerable: bool | None) -> dict[str, Any]:
        return {"rows": [1], "answerable": answerable, "in_document": None}

    content = content_of(
        line(label="yes"),
        line(label="no"),
        line(verdict="no", label="no", gold=marked(True), format_ok=None),
        line(verdict="yes", gold=marked(False)),
        *[line(verdict="no", gold=marked(False), format_ok=None)] * 2,
        line(verdict="no", gold=marked(None), format_ok=None),
        line(verdict=None, label="yes", gold=marked(True), format_ok=None),
        gold_rows=3,
    )
    quality = content["quality"]
    assert quality["verdict_accuracy"] == pytest.approx(2 / 3)
    assert content["statistics"]["confusion"] == {
        "yes": {"yes": 1, "no": 1}, "no": {"yes": 0, "no": 1},
    }  # fmt: skip
    assert (quality["wrong_yes_rate"], quality["missed_yes_rate"]) == (1 / 3, 1)
    assert content["gold"] == {"matched": 1, "unmatched": 2}
    assert content["pairs"]["undecided"] == 1
    assert [one["doc_id"] for one in content["examples"]["wrong_yes"]] == ["d"]


def test_intervals_have_the_queries_as_sample() -> None:
    kept = {"q1": [1, 1, 0], "q2": [1], "q3": [0, 0, 0, 1], "q4": [1, 1]}
    lines = [
        line(query, people={"answer_kept": bool(one)}) for query in kept for one in kept[query]
    ]
    content = content_of(*lines[::2], *lines[1::2])
    assert content["quality"]["answer_retention"] == 0.6
    order = list(dict.fromkeys(one["query_id"] for one in [*lines[::2], *lines[1::2]]))
    expected = ratio_interval(
        [sum(kept[query]) for query in order], [len(kept[query]) for query in order], seed=0
    )
    assert content["statistics"]["intervals"]["answer_retention"] == list(expected)
    assert content["statistics"]["counts"]["answer_retention"] == 10


def test_baselines_stand_beside() -> None:
    baselines = {"document": {"answer_kept": True}, "lead": EVIDENCE | {"answer_kept": False}}
    content = content_of(line(evidence=EVIDENCE, people={"answer_kept": True}, baselines=baselines))
    found = content["quality"]["baselines"]
    assert found["lead"]["entity_fidelity"] == pytest.approx(2 / 3)
    assert (found["lead"]["answer_retention"], found["lead"]["compression_median"]) == (0, 0.5)
    assert found["document"] == {
        "answer_retention": 1, "rationale_recall": None, "rationale_precision": None,
        "rationale_f1": None, "entity_fidelity": 1, "copied_share": 1, "novelty": 0,
        "compression_median": 1,
    }  # fmt: skip
    assert content["statistics"]["intervals"]["lead.answer_retention"] == list(
        wilson_interval(0, 1)
    )


def test_scores_are_calibrated_against_labels_else_people() -> None:
    def marked(answerable: bool, in_document: bool) -> dict[str, Any]:
        return {"rows": [1], "answerable": answerable, "in_document": in_document}

    content = content_of(
        line("q1", score=0.8, label="yes", gold=marked(False, True), evidence=EVIDENCE,
             people={"answer_kept": True}),
        line("q2", score=0.6, gold=marked(False, False), evidence=EVIDENCE),
        line("q3", score=0.2, verdict="no", gold=marked(True, True)),
        line("q4", verdict="no"),
        gold_rows=1,
    )  # fmt: skip
    scores, thresholds = content["quality"]["scores"], content["quality"]["thresholds"]
    assert scores["rows"] == 3
    assert scores["brier"] == pytest.approx((0.2**2 + 0.6**2 + 0.8**2) / 3)
    assert thresholds["queries_with_answer"] == 3
    assert thresholds["answer_kept"] == pytest.approx(1 / 3)
    assert thresholds["tokens_read"] == 20
    assert len(content["statistics"]["thresholds"]) == 101
    assert "scores" not in content_of(line())["quality"]


def test_the_worst_rows_are_kept_and_no_more() -> None:
    lines = [
        line(
            "q",
            f"d{number}",
            score=number / 100,
            evidence=EVIDENCE | {"entities": {"number": [number % 40, 40]}},
            people={"answer_kept": False},
        )
        for number in range(60)
    ]
    examples = content_of(*lines)["examples"]
    lowest = [one["doc_id"] for one in examples["lowest_fidelity"]]
    assert lowest[:5] == ["d0", "d40", "d1", "d41", "d2"]
    assert [one["doc_id"] for one in examples["answer_lost"]] == [
        f"d{number}" for number in range(59, 49, -1)
    ]
    assert {len(one) for one in (lowest, examples["answer_lost"])} == {KEPT}
    assert examples["lowest_fidelity"][0]["missing"] == ["77"]
    assert examples["wrong_yes"] == []


def test_no_rows_at_all() -> None:
    content = content_of()
    assert all(value is None for name, value in content["quality"].items() if name != "baselines")
    assert content["pairs"] == {"all": 0, "queries": 0}


def test_grounded_texts_are_counted_beside_the_models_own() -> None:
    repaired = {"origin": "repaired", "cited": 40, "precision": 0.5}
    extracted = {"origin": "extracted", "cited": 20}
    raw = EVIDENCE | {"entities": {"number": [0, 2]}, "answer_kept": True}
    content = content_of(
        line("q1", evidence=EVIDENCE, grounding=repaired, people={"answer_kept": False},
             baselines={"generated": raw}),
        line("q2", evidence=EVIDENCE, grounding=extracted, people={"answer_kept": False},
             baselines={"generated": {"answer_kept": False}}),
    )  # fmt: skip
    quality = content["quality"]
    assert (quality["repaired_share"], quality["extracted_share"]) == (0.5, 0.5)
    assert quality["citation_coverage"] == 60 / 100
    assert quality["citation_precision"] == 0.5
    generated = quality["baselines"]["generated"]
    assert (generated["entity_fidelity_number"], quality["entity_fidelity_number"]) == (0, 0.5)
    assert (generated["answer_retention"], quality["answer_retention"]) == (0.5, 0)
    assert "generated.answer_retention" in content["statistics"]["intervals"]
    assert "repaired_share" not in content_of(line(evidence=EVIDENCE))["quality"]
