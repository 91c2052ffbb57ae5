"""Rows of `prism rerank --query`, with a scripted reranker."""

from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.reranker import Reranker
from prism_cli.rows.best_documents import BestDocuments
from prism_cli.rows.row import text_id
from prism_cli.stages.rerank_query import RerankQueryStage
from tests.factories import read_jsonl, write_jsonl
from tests.stages.test_rerank import Row, ScriptedReranker


def ask(
    tmp_path: Path, rows: list[Row], *, shown: int = 10, writes: bool = True, **options: Any
) -> tuple[list[Row], RunSummary, RerankQueryStage, ScriptedReranker]:
    """Return the output rows of the real engine, the summary, the stage and the backend."""
    tmp_path.mkdir(exist_ok=True)
    source, out = write_jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    backend = ScriptedReranker()
    options = dict[str, Any](max_new_tokens=9, grounding="off", evidence=False) | options
    asked = RankOptions(**options)
    stage = RerankQueryStage(Reranker(backend), asked, "what?", shown, writes=writes)
    summary = run_rows(stage, [str(source)], RunOptions(output=out, quiet=True, max_rejects=1))
    return read_jsonl(out), summary, stage, backend


def scored(*pairs: tuple[float, float | None]) -> list[Row]:
    """Return documents a, b, … with these logits and scores of the first stage."""
    return [
        {"doc_id": name, "document": f"{logit} {name}", "source_score": score}
        for name, (logit, score) in zip("abcdef", pairs, strict=False)
    ]


def names(best: BestDocuments) -> list[str]:
    return [one.result["doc_id"] for one in best.ranked()]


def few_rows_per_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("stages.rerank", "engine.inflight", "engine.group_starts"):
        monkeypatch.setattr(f"prism_cli.{module}.MAX_GROUP_ROWS", 2)


def test_written_rows_have_the_doc_id_that_is_shown(tmp_path: Path) -> None:
    (own, digest), _, stage, _ = ask(
        tmp_path, [{"doc_id": "b", "document": "2"}, {"document": "1"}]
    )
    assert [own["doc_id"], digest["doc_id"]] == names(stage.best) == ["b", text_id("1")]
    again = BestDocuments(2)
    for place, row in enumerate((own, digest)):
        again.add(row, place)
    assert again.ranked() == stage.best.ranked(), "a digest is no name of its own"


def test_equal_fused_scores_are_shown_in_the_order_of_the_ranks(tmp_path: Path) -> None:
    rows, _, stage, _ = ask(tmp_path, scored((-3, 1), (4, 1), (1, 1)), fuse=1.0)
    assert {row["fused_score"] for row in rows} == {rows[0]["fused_score"]}
    by_rank = [row["doc_id"] for row in sorted(rows, key=lambda row: row["rank"])]
    assert names(stage.best) == by_rank == ["b", "c", "a"]


def test_documents_without_a_fused_score_are_shown_by_their_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_rows_per_group(monkeypatch)
    rows, summary, stage, _ = ask(tmp_path, scored((1, 3), (3, 1), (2, 2)), fuse=0.9)
    assert {row["fused_score"] for row in rows} == {None}
    assert names(stage.best) == ["b", "c", "a"]
    assert "at most 2 of a query are ranked" in summary.figures["hint"]


def test_of_too_many_documents_that_are_only_shown_few_get_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_rows_per_group(monkeypatch)
    rows = scored((1, None), (5, None), (3, None), (2, None), (4, None), (6, None))
    only = dict[str, Any](shown=1, writes=False, top_n=1, evidence=True)
    _, summary, stage, backend = ask(tmp_path, rows, **only)
    assert names(stage.best) == ["f"]
    assert sum(map(len, backend.rounds)) == 3  # the best of each group
    assert "hint" not in summary.figures
    _, summary, stage, backend = ask(tmp_path / "budget", rows, **only, evidence_top=1, fuse=0.5)
    assert stage.best.ranked()[0].result["evidence_omitted"] == "too_many"
    assert summary.figures["hint"].endswith(
        "documents with these options: the order is that of the model alone, none gets evidence"
    )
