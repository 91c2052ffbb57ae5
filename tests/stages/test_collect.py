"""Conversion of lists of documents to pairs."""

from pathlib import Path
from typing import Any

import pytest

from prism_cli.adapters.shapes.base import ShapeSettings
from prism_cli.adapters.shapes.table import RecognisingReader
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import RowError
from prism_cli.rows.row import Dropped, text_id
from prism_cli.stages.collect import CollectStage
from tests.factories import read_jsonl, write_jsonl


def pairs(row: dict[str, Any], **settings: Any) -> Any:
    stage = CollectStage(RecognisingReader(ShapeSettings()), **settings)
    stage.check(row)
    return stage.work(row)


def test_positives_are_first_with_ids_and_labels() -> None:
    rows = pairs({"query": "q", "pos": ["yes"], "neg": ["no", "nope"], "lang": "en"})
    assert [(row["document"], row["source_label"]) for row in rows] == [
        ("yes", "1"),
        ("no", "0"),
        ("nope", "0"),
    ]
    assert list(rows[0]) == ["query_id", "query", "doc_id", "document", "lang", "source_label"]
    assert rows[0]["query_id"] == text_id("q")
    assert rows[0]["doc_id"] == text_id("yes")


def test_documents_as_objects_keep_title_id_and_label() -> None:
    item = {"doc_id": "7", "title": "T", "text": "x", "source_label": "2"}
    (row,) = pairs({"query_id": "a", "query": "q", "pos": [item]})
    assert row == {
        "query_id": "a",
        "query": "q",
        "doc_id": "7",
        "title": "T",
        "document": "x",
        "source_label": "2",
    }


def test_parallel_lists_of_scores_and_ids_are_spread() -> None:
    rows = pairs(
        {
            "query": "q",
            "pos": ["a"],
            "neg": ["b"],
            "pos_scores": [0.9],
            "neg_scores": [0.1],
            "neg_id": [5],
        }
    )
    assert [row["source_score"] for row in rows] == [0.9, 0.1]
    assert rows[1]["doc_id"] == "5"
    assert not {"pos", "neg", "pos_scores", "neg_id"} & set(rows[0])


def test_single_strings_are_lists_of_one() -> None:
    assert len(pairs({"query": "q", "pos": "a", "neg": "b"})) == 2


def collected(*rows: dict[str, Any]) -> tuple[list[dict[str, Any]], RunSummary]:
    """Run the stage through the engine."""
    stage = CollectStage(RecognisingReader(ShapeSettings()))
    options = RunOptions(output=Path("out.jsonl"), quiet=True, overwrite=True)
    summary = run_rows(stage, [str(write_jsonl(Path("in.jsonl"), rows))], options)
    return read_jsonl(Path("out.jsonl")), summary


def test_a_pair_that_is_positive_and_negative_is_dropped_and_named() -> None:
    output, summary = collected(
        {"query": "q", "pos": ["Same  words", "good"], "neg": ["same words", "other"]}
    )
    assert [row["document"] for row in output] == ["good", "other"]
    assert summary.figures["pairs left out"] == {"contradictory": 2}
    assert (
        summary.figures["contradictory, such as"]
        == "in.jsonl:1 'Same  words' (yes) and in.jsonl:1 'same words' (no)"
    )


def test_a_mined_negative_equal_to_a_positive_is_dropped_alone() -> None:
    negatives = [{"text": "same words", "negative": "bm25"}, {"text": "x", "negative": "bm25"}]
    output, summary = collected({"query": "q", "pos": ["Same  words"], "neg": negatives})
    assert [row["document"] for row in output] == ["Same  words", "x"]
    assert summary.figures["pairs"]["mined negatives equal to a positive, left out"] == 1


def test_rows_of_one_pair_with_two_labels_are_dropped_and_repeated_rows_are_kept_once() -> None:
    pair = {"query": "q", "document": "d"}
    output, summary = collected(
        pair | {"verdict": "yes"},
        {"query": "q", "document": "e", "verdict": "yes"},
        pair | {"verdict": "no"},
        {"query": "q", "document": "e", "verdict": "yes"},
        {"query": "q", "document": "e", "verdict": "yes", "other": 1},
    )
    assert [(row["document"], row.get("other")) for row in output] == [("e", None), ("e", 1)]
    assert summary.counts.dropped == {"contradictory": 2, "repeated": 1}
    assert (summary.counts.rows, summary.counts.done, summary.counts.written) == (5, 2, 2)
    assert (
        summary.figures["contradictory, such as"] == "in.jsonl:1 'd' (yes) and in.jsonl:3 'd' (no)"
    )


def test_distant_contradictions_are_kept_and_reported() -> None:
    rows = [
        {"query": query, "document": "d", "verdict": verdict}
        for query, verdict in (("q", "yes"), ("r", "no"), ("q", "no"), ("q", "no"), ("r", "no"))
    ]
    output, summary = collected(*rows)
    assert len(output) == 4
    assert summary.counts.dropped == {"repeated": 1}
    assert summary.figures["pairs that contradict rows which stand apart, kept"] == 1
    named = "in.jsonl:1 'd' (yes) and in.jsonl:3 'd' (no)"
    assert summary.figures["contradicted apart, such as"] == named


def test_row_without_a_positive_is_dropped_with_its_reason() -> None:
    assert pairs({"query": "q", "pos": [], "neg": ["b"]}) == Dropped("no positive")


def test_pair_rows_are_unchanged() -> None:
    row = {"query": "q", "document": "d", "other": [1]}
    assert pairs(dict(row)) == row


def test_a_label_that_is_no_grade_is_kept_but_an_implausible_number_is_rejected() -> None:
    row = {"query": "q", "document": "d", "source_label": "entailment"}
    assert pairs(dict(row)) == row
    with pytest.raises(RowError, match="source_label: expected a grade from -10 to 1000"):
        pairs(row | {"source_label": 1767225600})


def test_a_document_of_a_list_whose_label_is_no_grade_is_kept_without_a_vote() -> None:
    documents = [{"text": "a", "source_label": "entailment"}, {"text": "b", "source_label": "1"}]
    found = pairs({"query": "q", "documents": documents})
    assert [row["source_label"] for row in found] == ["entailment", "1"]


def test_source_is_set_only_if_absent() -> None:
    (row,) = pairs({"query": "q", "pos": ["a"]}, source="kalm")
    assert row["source"] == "kalm"
    (row,) = pairs({"query": "q", "pos": ["a"], "source": "own"}, source="kalm")
    assert row["source"] == "own"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"query": "q"}, "pos"),
        ({"pos": ["a"]}, "query"),
        ({"query": " ", "pos": ["a"]}, "query"),
        ({"query": "q", "pos": {"a": 1}}, "pos"),
        ({"query": "q", "pos": ["a", 3]}, "pos[1]"),
        ({"query": "q", "pos": [{"title": "t"}]}, "pos[0].document"),
        ({"query": "q", "pos": ["a"], "neg": [{"text": "b", "doc_id": 4}]}, "neg[0].doc_id"),
        ({"query": "q", "pos": ["a"], "pos_scores": [1, 2]}, "pos_scores"),
        ({"query": "q", "pos": ["a"], "document": "d"}, "document"),
        ({"query": "q", "pos": ["a"], "neg": ["b"], "pos_id": ["1"], "neg_id": ["1"]}, "doc_id"),
    ],
)
def test_bad_row_names_its_field(row: dict[str, Any], field: str) -> None:
    with pytest.raises(RowError) as caught:
        pairs(row)
    assert caught.value.field == field
