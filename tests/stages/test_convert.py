"""Conversion through the engine: written, counted and rejected rows."""

from pathlib import Path
from typing import Any

import pytest

from prism_cli.adapters.shapes.base import ShapeSettings
from prism_cli.adapters.shapes.table import SHAPES
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.stages.convert import ConvertStage
from tests.factories import read_jsonl, write_jsonl

Row = dict[str, Any]


def convert(rows: list[Row], source: str, target: str) -> tuple[list[Row], RunSummary]:
    settings = ShapeSettings()
    stage = ConvertStage(SHAPES[source].reader(settings), SHAPES[target].writer(settings))
    options = RunOptions(output=Path("out.jsonl"), quiet=True, max_rejects=1, overwrite=True)
    summary = run_rows(stage, [str(write_jsonl(Path("in.jsonl"), rows))], options)
    return ([] if target.startswith("trec") else read_jsonl(Path("out.jsonl"))), summary


def pair(query: str, document: str, label: str) -> Row:
    return {"query": query, "document": document, "source_label": label}


def test_scattered_rows_make_groups_that_are_counted() -> None:
    rows = [pair("a", "1", "1"), pair("b", "2", "1"), pair("a", "3", "1"), pair("a", "4", "0")]
    output, summary = convert(rows, "prism", "flagembedding")
    assert [(row["query"], row["pos"], row["neg"]) for row in output] == [
        ("a", ["1"], []),
        ("b", ["2"], []),
        ("a", ["3"], ["4"]),
    ]
    assert summary.figures["also"] == {
        "queries without a negative": 2,
        "groups of a query that came before": 1,
    }
    assert "--sort-queries" in summary.figures["hint"]
    assert (summary.counts.rows, summary.counts.written) == (4, 3)


def test_groups_may_span_windows_of_the_engine() -> None:
    rows = [pair("a", f"d{number}", "0" if number else "1") for number in range(5000)]
    output, summary = convert(rows, "prism", "flagembedding")
    assert [(len(row["pos"]), len(row["neg"])) for row in output] == [(1, 4999)]
    assert "hint" not in summary.figures


def test_rows_without_a_place_are_dropped_and_fields_counted() -> None:
    rows = [
        pair("a", "yes", "1") | {"evidence": "e"},
        pair("a", "no", "0"),
        {"query": "a", "document": "unlabelled"},
    ]
    output, summary = convert(rows, "prism", "st-pairs")
    assert output == [{"anchor": "a", "positive": "yes"}]
    assert summary.counts.dropped == {"negative": 1, "no label and no verdict": 1}
    assert summary.figures["fields left out"] == {"evidence": 1}


def test_a_row_with_pairs_of_both_kinds_is_done_and_dropped_pairs_are_counted() -> None:
    output, summary = convert(
        [{"query": "q", "pos": ["a"], "neg": ["b"]}], "flagembedding", "st-pairs"
    )
    assert output == [{"anchor": "q", "positive": "a"}]
    assert summary.counts.done == 1
    assert summary.figures["pairs left out"] == {"negative": 1}


def test_bad_rows_are_rejected_with_place_and_field() -> None:
    rows: list[Row] = [{"query": "q", "pos": ["a"]}, {"query": "q", "pos": [1]}, {"pos": ["a"]}]
    output, summary = convert(rows, "flagembedding", "prism")
    assert len(output) == 1
    rejected = read_jsonl(Path(summary.side_files[0]))
    assert [(reject["line"], reject["field"]) for reject in rejected] == [
        (2, "pos[0]"),
        (3, "query"),
    ]


def test_conversion_from_prism_to_prism_is_the_identity() -> None:
    rows = [pair("a", "1", "1") | {"z": [1, None], "a": {"b": "ü"}}]
    output, _ = convert(rows, "prism", "prism")
    assert [list(row.items()) for row in output] == [list(row.items()) for row in rows]
    assert Path("out.jsonl").read_bytes() == Path("in.jsonl").read_bytes()


@pytest.mark.parametrize("target", ["prism", "flagembedding", "st-pairs", "st-scores", "cohere"])
def test_pair_that_is_positive_and_negative_is_left_out_of_every_shape(target: str) -> None:
    kalm = {"query": "q", "pos": ["both", "good"], "neg": ["both", "bad"]}
    output, summary = convert([kalm], "flagembedding", target)
    assert "good" in str(output)
    assert "both" not in str(output)
    assert summary.figures["pairs left out"]["contradictory"] == 2
    assert "in.jsonl:1 'both' (yes) and in.jsonl:1 'both' (no)" in str(summary.figures)


def test_rows_with_two_grades_or_verdicts_for_a_pair_are_dropped() -> None:
    rows = [pair("a", "1", "2"), pair("a", "2", "1"), pair("a", "1", "1"), pair("a", "2", "1")]
    assert convert(rows, "prism", "trec-qrels")[1].counts.dropped == {
        "contradictory": 2,
        "repeated": 1,
    }
    assert convert(rows, "prism", "prism")[1].counts.dropped == {"repeated": 1}  # 2 and 1 are yes
    rows[0]["verdict"] = "no"
    assert convert(rows, "prism", "prism")[1].counts.dropped["contradictory"] == 2


def test_a_document_without_a_score_is_dropped_alone_and_named() -> None:
    row: Row = {
        "query_id": "q",
        "query": "q",
        "documents": [{"doc_id": "a", "text": "A"}, {"doc_id": "b", "text": "B"}],
        "results": [{"index": 1, "relevance_score": 0.9}],
    }
    bare = row | {"query_id": "r", "results": []}
    summary = convert([row, bare], "cohere", "trec-run")[1]
    assert Path("out.jsonl").read_text() == "q Q0 b 1 0.9 prism\n"
    assert summary.figures["pairs left out"] == {"documents that the shape cannot hold": 1}
    named = summary.figures["documents that the shape cannot hold, such as"]
    assert named.startswith("in.jsonl:1, document 'a': score: expected a score")
    assert [reject["field"] for reject in read_jsonl(Path(summary.side_files[0]))] == ["score"]
