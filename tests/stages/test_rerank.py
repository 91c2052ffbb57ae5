"""What becomes of rows, on a scripted reranker."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.ports import Reply, RerankTask
from prism_cli.stages.rerank import RerankStage
from tests.factories import jsonl, make_pair

WRITTEN = "yes\n<contribution>what</contribution>\n<evidence>why</evidence>"
Row = dict[str, Any]


class ScriptedReranker:
    """A logit is the number in a document; "broken" in it spoils the text."""

    spec = "fake:reranker"
    fingerprint = "fake"

    def __init__(self) -> None:
        self.asked: list[RerankTask] = []
        self.figures: Mapping[str, object] = {}

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        raise AssertionError

    def forget(self) -> None:
        raise AssertionError

    def plan(self, payloads: Sequence[RerankTask]) -> list[list[int]]:
        return [list(range(len(payloads)))]

    def answer(self, payloads: Sequence[RerankTask]) -> list[Reply]:
        self.asked += payloads
        return [self._one(task) for task in payloads]

    def _one(self, task: RerankTask) -> Reply:
        document = task.document
        if task.query == "endless":
            return Reply({}, refusal="too long")
        found = re.search(r"-?\d+(\.\d+)?", document)
        logit = float(found[0]) if found else 0.0
        value: Row = {"logit": logit, "truncated": "cut" in document}
        if task.max_new_tokens and logit > task.write_above:
            value["text"] = "yes <contribution>" if "broken" in document else WRITTEN
        return Reply(value)


def rerank(
    tmp_path: Path, rows: list[Row], *, evidence: bool = True
) -> tuple[list[Row], RunSummary, ScriptedReranker]:
    """Rows out, in order, by the real engine."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(jsonl(rows))
    backend = ScriptedReranker()
    stage = RerankStage(backend, max_new_tokens=9 if evidence else 0)
    summary = run_rows(stage, [str(source)], RunOptions(output=out, quiet=True, max_rejects=1))
    return [orjson.loads(line) for line in out.read_bytes().splitlines()], summary, backend


def rejects(tmp_path: Path) -> list[Row]:
    lines = (tmp_path / "out.jsonl.rejects.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


def test_pair_keeps_its_labels_beside_the_prediction(tmp_path: Path) -> None:
    row = make_pair(
        document="2", verdict="no", contribution="label", evidence="label", teacher_score=0.25
    )
    (out,), _, _ = rerank(tmp_path, [row])
    assert {name: out[name] for name in row} == row
    assert list(out)[: len(row)] == list(row)
    assert {name: value for name, value in out.items() if name not in row} == {
        "score": 0.880797,
        "logit": 2.0,
        "rank": 1,
        "model": "fake:reranker",
        "truncated": False,
        "predicted_verdict": "yes",
        "format_ok": True,
        "predicted_contribution": "what",
        "predicted_evidence": "why",
    }


def test_no_writes_no_text(tmp_path: Path) -> None:
    (out,), summary, _ = rerank(tmp_path, [make_pair(document="-1 cut")])
    assert (out["predicted_verdict"], out["format_ok"], out["truncated"]) == ("no", None, True)
    assert out["predicted_contribution"] is out["predicted_evidence"] is None
    assert summary.figures["truncated"] == 1


def test_broken_text_stays_in_the_row_marked(tmp_path: Path) -> None:
    (out,), summary, _ = rerank(tmp_path, [make_pair(document="1 broken")])
    assert out["format_ok"] is False
    assert summary.figures["format_broken"] == 1


def test_without_evidence_there_are_scores_and_verdicts_alone(tmp_path: Path) -> None:
    (out,), _, _ = rerank(tmp_path, [make_pair(document="1")], evidence=False)
    assert out["predicted_verdict"] == "yes"
    assert not {"format_ok", "predicted_contribution", "predicted_evidence"} & set(out)


def test_title_stands_in_front_of_the_document(tmp_path: Path) -> None:
    _, _, backend = rerank(tmp_path, [make_pair(title="T", document="1"), make_pair(document="2")])
    assert [task.document for task in backend.asked] == ["T 1", "2"]


def test_rank_is_within_adjacent_rows_and_ties_go_by_doc_id(tmp_path: Path) -> None:
    rows = [
        make_pair(1, query="a", query_id="a", doc_id=doc, document=logit)
        for doc, logit in (("z", "1"), ("y", "3"), ("x", "1"))
    ]
    rows += [make_pair(2, query="b", query_id="b", document="0")]
    out, summary, _ = rerank(tmp_path, rows)
    assert [row["rank"] for row in out] == [3, 1, 2, 1]
    assert "hint" not in summary.figures


def test_scattered_rows_have_no_rank_and_a_hint(tmp_path: Path) -> None:
    rows = [make_pair(n, query=q, query_id=q, document=str(n)) for n, q in enumerate("abacc")]
    out, summary, _ = rerank(tmp_path, rows)
    assert [row["rank"] for row in out] == [None, 1, None, 2, 1]
    assert "2 rows of scattered queries have no rank: --sort-queries" in str(summary.figures)


def test_query_with_documents_is_answered_in_that_shape(tmp_path: Path) -> None:
    row = {
        "query": "q",
        "documents": ["1", {"doc_id": "b", "title": "T", "text": "3"}, {"text": "-2"}],
        "note": 7,
    }
    (out,), _, backend = rerank(tmp_path, [row])
    assert {name: out[name] for name in row} == row
    assert [(one["index"], one["logit"], one["verdict"]) for one in out["results"]] == [
        (1, 3.0, "yes"),
        (0, 1.0, "yes"),
        (2, -2.0, "no"),
    ]
    assert out["results"][0]["doc_id"] == "b"
    assert out["results"][0]["evidence"] == "why"
    assert out["results"][2]["evidence"] is None
    assert RerankTask("q", "T 3", 9) in backend.asked
    assert "rank" not in out


def test_results_with_equal_scores_go_by_doc_id(tmp_path: Path) -> None:
    documents = [{"doc_id": name, "text": f"1 {name}"} for name in ("c", "a", "b")]
    (out,), _, _ = rerank(tmp_path, [{"query": "q", "documents": documents}])
    assert [one["doc_id"] for one in out["results"]] == ["a", "b", "c"]


def test_no_documents_give_no_results(tmp_path: Path) -> None:
    (out,), _, backend = rerank(tmp_path, [{"query": "q", "documents": []}])
    assert out["results"] == []
    assert backend.asked == []


@pytest.mark.parametrize(
    ("documents", "field"),
    [
        (["a", "b", {"text": 3}], "documents[2].text"),
        ([{"doc_id": "a"}], "documents[0].text"),
        ([{"text": "a", "doc_id": 1}], "documents[0].doc_id"),
        ([{"text": "a", "title": []}], "documents[0].title"),
        ([None], "documents[0]"),
        ("a", "documents"),
    ],
    ids=["number", "no-text", "doc-id", "title", "null", "string"],
)
def test_bad_documents_are_rejected_by_place(tmp_path: Path, documents: object, field: str) -> None:
    out, summary, _ = rerank(tmp_path, [{"query": "q", "documents": documents}])
    assert out == []
    assert summary.counts.rejected == 1
    assert [one["field"] for one in rejects(tmp_path)] == [field]


def test_query_that_does_not_fit_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = [make_pair(0, query="endless"), make_pair(1, document="1")]
    out, _, _ = rerank(tmp_path, rows)
    assert [row["query_id"] for row in out] == ["q1"]
    (reject,) = rejects(tmp_path)
    assert (reject["line"], reject["field"], reject["reason"]) == (1, "query", "too long")
