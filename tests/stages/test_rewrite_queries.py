"""Query rewriting: rewritten and unchanged rows, and the summary."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.ports import Reply
from prism_cli.rows.row import text_id
from prism_cli.stages.rewrite_queries import RewriteQueriesStage
from tests.factories import Row, make_pair, make_pairs, read_jsonl, write_jsonl


@dataclass(eq=False)
class ScriptedWriter:
    """Generator of keywords by query: one reply, or one per attempt; else the query's last word."""

    script: dict[str, Any] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    spec: str = "fake:writer"
    fingerprint: str = "writer 1"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return [[index] for index in range(len(payloads))]

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        self.asked += payloads
        return [self._said(*payload) for payload in payloads]

    def _said(self, query: str, attempt: int) -> Reply:
        reply = self.script.get(query, {"keywords": f"keywords of {query.split()[-1]}"})
        reply = reply[attempt] if isinstance(reply, list) else reply
        return reply if isinstance(reply, Reply) else Reply(reply)


def rewritten(
    rows: list[Row], writer: ScriptedWriter | None = None, **more: Any
) -> tuple[list[Row], Any]:
    """Return the output rows and the summary; by default every query is rewritten."""
    stage = RewriteQueriesStage(writer or ScriptedWriter(), **({"fraction": 1.0} | more))
    source = write_jsonl(Path("in.jsonl"), rows)
    options = RunOptions(Path("out.jsonl"), quiet=True, overwrite=True)
    summary = run_rows(stage, [str(source)], options)
    return read_jsonl(Path("out.jsonl")), summary


def outcomes(summary: Any) -> dict[str, tuple[int, int]]:
    """Return (queries, rows) of every outcome."""
    lines = summary.figures["queries"]
    return {line["outcome"]: (line["queries"], line["rows"]) for line in lines if line["rows"]}


def test_a_row_before_and_after() -> None:
    before = make_pair(1, query_id=None)
    ((after,), _) = rewritten([before])
    assert after == before | {
        "query": "keywords of 1",
        "query_id": text_id("what is item 1"),
        "original_query": "what is item 1",
        "query_style": "keyword",
    }
    assert list(after)[:2] == list(before)[:2]


def test_rows_of_a_query_share_one_question_and_its_keywords() -> None:
    writer = ScriptedWriter()
    rows = [make_pair(1, doc_id=f"d{number}") for number in range(5)] + [make_pair(2)]
    output, summary = rewritten(rows, writer)
    assert writer.asked == [("what is item 1", 0), ("what is item 2", 0)]
    assert {row["query"] for row in output[:5]} == {"keywords of 1"}
    assert {row["query_id"] for row in output[:5]} == {"q1"}
    assert outcomes(summary) == {"asked": (2, 6), "rewritten": (2, 6)}


def test_unchanged_queries_are_counted_by_reason() -> None:
    long = " ".join(["word"] * 41)
    unusable = [{"unusable": "a question"}] * 3
    writer = ScriptedWriter(
        {
            "why": {"skip": True},
            "stubborn": unusable,
            "late": [*unusable[:2], {"keywords": "at last"}],
            "filtered": Reply({}, refusal="content filter"),
        }
    )
    queries = ["why", "stubborn", "late", "filtered", long]
    rows = [make_pair(number, query=query) for number, query in enumerate(queries)]
    output, summary = rewritten([*rows, make_pair(0, query="why", doc_id="other")], writer)
    assert [row["query"] for row in output] == ["why", "stubborn", "at last", *queries[3:], "why"]
    assert [row["query_style"] for row in output] == [
        "original", "original", "keyword", "original", "original", "original",
    ]  # fmt: skip
    assert "original_query" not in output[0]
    assert outcomes(summary) == {
        "too long to ask": (1, 1), "asked": (4, 5), "rewritten": (1, 1), "skipped": (1, 2),
        "refused": (2, 2),
    }  # fmt: skip
    assert {figure["outcome"]: figure["share"] for figure in summary.figures["queries"]}[
        "refused"
    ] == 0.4
    assert [payload for payload in writer.asked if payload[0] == "stubborn"] == [
        ("stubborn", attempt) for attempt in range(3)
    ]


def test_queries_outside_the_sample_are_unchanged() -> None:
    output, summary = rewritten(make_pairs(300), fraction=0.4)
    styles = [row["query_style"] for row in output]
    assert 90 < styles.count("keyword") < 150
    assert outcomes(summary)["not chosen"] == (styles.count("original"),) * 2
    other_seed, _ = rewritten(make_pairs(300), fraction=0.4, seed=1)
    assert [row["query_style"] for row in other_seed] != styles


def test_ablation_writes_the_original_after_each_rewritten_row() -> None:
    writer = ScriptedWriter({"what is item 1": {"skip": True}})
    rows = [make_pair(0, verdict="yes"), make_pair(1), make_pair(2, query_id=None)]
    output, summary = rewritten(rows, writer, ablation=True)
    styles = [(row["doc_id"], row["query_style"]) for row in output]
    assert styles == [
        ("d0", "keyword"), ("d0", "original"), ("d1", "original"), ("d2", "keyword"),
        ("d2", "original"),
    ]  # fmt: skip
    assert output[1] == rows[0] | {"query_style": "original"}
    assert output[3]["query_id"] == output[4]["query_id"] == text_id("what is item 2")
    assert summary.counts.rows == 3
    write_jsonl(Path("in.jsonl"), output)
    fed, second = rewritten(output, ScriptedWriter(), fraction=0.0)
    assert second.counts.rejected == 0
    assert fed == output


LABELS = {
    "teacher_scores": {"st:minilm": 0.4}, "teacher_score": 0.4, "votes": {"source": "yes"},
    "verdict": "yes", "votes_cast": 1, "agreement": 1.0, "contribution": "c", "evidence": "e",
    "generator": "g", "objectives": ["sft"], "score": 0.2, "predicted_verdict": "no",
    "predicted_citations": [], "unsupported": [], "evidence_origin": "model", "windows": 3,
    "best_window": [0, 24], "disagreement": 0.4,
}  # fmt: skip


def test_labels_of_the_old_query_are_removed_and_counted() -> None:
    writer = ScriptedWriter({"what is item 1": {"skip": True}})
    rows = [make_pair(number, source_label="1", **LABELS) for number in range(2)]
    (changed, unchanged), summary = rewritten(rows, writer)
    assert not LABELS.keys() & changed.keys()
    assert changed["source_label"] == "1"
    assert changed["note"] == rows[0]["note"]
    assert unchanged == rows[1] | {"query_style": "original"}
    assert [value for name, value in summary.figures.items() if "removed" in name] == [1]


def test_inherited_labels_are_kept_and_marked() -> None:
    rows = [make_pair(0, **LABELS), make_pair(1)]
    (labelled, bare), summary = rewritten(rows, inherit_labels=True)
    assert {name: labelled[name] for name in LABELS} == LABELS
    assert labelled["labels_from"] == "original"
    assert "labels_from" not in bare
    assert [value for name, value in summary.figures.items() if "inherited" in name] == [1]


@pytest.mark.parametrize(
    "before", [{"query_style": "keyword"}, {"original_query": "what was asked at first"}]
)
def test_rewritten_queries_are_not_rewritten_again(before: Row) -> None:
    writer = ScriptedWriter()
    row = make_pair(0, verdict="yes", **before)
    ((result,), summary) = rewritten([row], writer)
    assert result == row
    assert writer.asked == []
    assert outcomes(summary) == {"rewritten before": (1, 1)}


@pytest.mark.parametrize("inherit_labels", [False, True])
def test_scores_of_the_first_stage_are_removed_and_are_no_labels(inherit_labels: bool) -> None:
    first = {"source_score": 9.5, "source_rank": 1}
    rows = [make_pair(1, **first), {"query": "what is 2", "documents": [{"text": "b"} | first]}]
    (pair, query), summary = rewritten(rows, inherit_labels=inherit_labels)
    assert not {*first, "labels_from"} & pair.keys()
    assert query["documents"] == [{"text": "b"}]
    assert not any("labels" in name for name in summary.figures)


def test_documents_have_labels_too() -> None:
    row = {"query": "what is 2", "documents": ["a", {"text": "b", "verdict": "yes"}]}
    ((removed,), summary) = rewritten([row])
    assert removed["documents"] == ["a", {"text": "b"}]
    assert summary.figures["rewritten rows with labels of the original query, removed"] == 1
    ((kept,), _) = rewritten([row], inherit_labels=True)
    assert (kept["documents"], kept["labels_from"]) == (row["documents"], "original")


def test_queries_with_documents_are_rewritten_too() -> None:
    row = {"query": "what is item 7", "documents": ["a", {"text": "b"}], "results": []}
    ((result,), _) = rewritten([row])
    assert (result["query"], result["documents"]) == ("keywords of 7", row["documents"])
    assert "results" not in result
