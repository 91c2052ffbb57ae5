"""Rows of the rerank stage, with a scripted reranker."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.engine.run_board import BOARD_NAME
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import RefusedOutputsError
from prism_cli.ports import Reply, RerankTask, Usage
from prism_cli.reranker import Reranker
from prism_cli.rows.results import PREDICTIONS
from prism_cli.stages.rerank import RerankStage
from tests.factories import jsonl, make_pair, make_pairs

WRITTEN = "yes\n<contribution>what</contribution>\n<evidence>why</evidence>"
Row = dict[str, Any]


class ScriptedReranker:
    """Reranker whose logit is the number in a document; "broken" spoils the text, "escaped" adds
    entities; it has 10 tokens, or 40 with "t40"."""

    spec = "fake:reranker"
    fingerprint = "fake"

    def __init__(self) -> None:
        self.asked: list[RerankTask] = []
        self.rounds: list[list[str]] = []
        self.figures: Mapping[str, object] = {}

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        raise AssertionError

    def forget(self) -> None:
        raise AssertionError

    def plan(self, payloads: Sequence[RerankTask]) -> list[list[int]]:
        return [list(range(len(payloads)))]

    def answer(self, payloads: Sequence[RerankTask]) -> list[Reply]:
        self.asked += payloads
        self.rounds.append([task.document for task in payloads if task.max_new_tokens])
        return [self._one(task) for task in payloads]

    def _one(self, task: RerankTask) -> Reply:
        document = task.document
        if task.query == "endless":
            return Reply({}, refusal="too long")
        match = re.search(r"-?\d+(\.\d+)?", document)
        logit = float(match[0]) if match else 0.0
        value: Row = {"logit": logit, "truncated": "cut" in document}
        if task.max_new_tokens and logit > task.write_above:
            value["text"] = "yes <contribution>" if "broken" in document else WRITTEN
            if "escaped" in document:
                value["text"] = WRITTEN.replace("why", "AT&amp;T &lt; 3")
            tokens = re.search(r"t(\d+)", document)
            return Reply(value, usage=Usage(5, int(tokens[1]) if tokens else 10))
        return Reply(value)


def rerank(
    tmp_path: Path, rows: list[Row], **options: Any
) -> tuple[list[Row], RunSummary, ScriptedReranker]:
    """Return the output rows of the real engine, without grounding, the summary and the backend."""
    tmp_path.mkdir(exist_ok=True)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(jsonl(rows))
    backend = ScriptedReranker()
    stage = RerankStage(
        Reranker(backend), RankOptions(**{"max_new_tokens": 9, "grounding": "off"} | options)
    )
    summary = run_rows(stage, [str(source)], RunOptions(output=out, quiet=True, max_rejects=1))
    return [orjson.loads(line) for line in out.read_bytes().splitlines()], summary, backend


def rejects(tmp_path: Path) -> list[Row]:
    lines = (tmp_path / "out.jsonl.rejects.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


class BudgetedReranker(ScriptedReranker):
    """Reranker with a token budget that shrinks after its first batch."""

    batch_tokens = 900

    def answer(self, payloads: Sequence[RerankTask]) -> list[Reply]:
        if len(payloads) > 2:
            raise KeyboardInterrupt
        self.batch_tokens //= 2
        return super().answer(payloads)


def test_the_batch_budget_is_stored_in_the_manifest_and_reused(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    manifest = tmp_path / "out.jsonl.manifest.json"
    options = RunOptions(output=out, quiet=True)
    source.write_bytes(jsonl([make_pair(doc_id=None, document=str(number)) for number in range(3)]))
    first = BudgetedReranker()
    with pytest.raises(KeyboardInterrupt):
        run_rows(RerankStage(Reranker(first), RankOptions(evidence=False)), [str(source)], options)
    assert orjson.loads(manifest.read_bytes())["batch_plan"]["batch_tokens"] == 900
    second = BudgetedReranker()
    second.batch_tokens = 70
    source.write_bytes(jsonl([make_pair(doc_id=None, document=str(number)) for number in range(2)]))
    run_rows(RerankStage(Reranker(second), RankOptions(evidence=False)), [str(source)], options)
    assert second.batch_tokens == 450
    assert orjson.loads(manifest.read_bytes())["batch_plan"]["batch_tokens"] == 450


def test_pair_keeps_its_labels_beside_the_prediction(tmp_path: Path) -> None:
    row = make_pair(
        document="2 whys", verdict="no", contribution="label", evidence="label", teacher_score=0.25
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


def test_predicted_texts_have_the_characters_of_the_document(tmp_path: Path) -> None:
    rows = [make_pair(doc_id=None, document=f"2 escaped AT{escape}T") for escape in ("&", "&amp;")]
    output, _, _ = rerank(tmp_path, rows)
    assert [row["predicted_evidence"] for row in output] == ["AT&T < 3", "AT&amp;T < 3"]


def test_a_no_has_no_text(tmp_path: Path) -> None:
    (out,), summary, _ = rerank(tmp_path, [make_pair(document="-1 cut")])
    assert (out["predicted_verdict"], out["format_ok"], out["truncated"]) == ("no", None, True)
    assert out["predicted_contribution"] is out["predicted_evidence"] is None
    assert summary.figures["truncated"] == 1


def test_a_broken_text_is_kept_and_marked(tmp_path: Path) -> None:
    (out,), summary, _ = rerank(tmp_path, [make_pair(document="1 broken")])
    assert out["format_ok"] is False
    assert summary.figures["format_broken"] == 1


def test_without_evidence_there_are_only_scores_and_verdicts(tmp_path: Path) -> None:
    (out,), _, _ = rerank(tmp_path, [make_pair(document="1")], evidence=False)
    assert out["predicted_verdict"] == "yes"
    assert not {"format_ok", "predicted_contribution", "predicted_evidence"} & set(out)


def test_the_title_precedes_the_document(tmp_path: Path) -> None:
    rows = [make_pair(title="T", document="1"), make_pair(doc_id="d2", document="2")]
    _, _, backend = rerank(tmp_path, rows)
    assert [task.document for task in backend.asked] == ["T 1", "2"]


def test_ranks_are_within_adjacent_rows_and_ties_are_broken_by_doc_id(tmp_path: Path) -> None:
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
    assert [(result["index"], result["logit"], result["verdict"]) for result in out["results"]] == [
        (1, 3.0, "yes"),
        (0, 1.0, "yes"),
        (2, -2.0, "no"),
    ]
    assert out["results"][0]["doc_id"] == "b"
    assert out["results"][0]["evidence"] == "why"
    assert out["results"][2]["evidence"] is None
    assert RerankTask("q", "T 3", 9, body=2) in backend.asked
    assert "rank" not in out


def test_results_with_equal_scores_are_ordered_by_doc_id(tmp_path: Path) -> None:
    documents = [{"doc_id": name, "text": f"1 {name}"} for name in ("c", "a", "b")]
    (out,), _, _ = rerank(tmp_path, [{"query": "q", "documents": documents}])
    assert [result["doc_id"] for result in out["results"]] == ["a", "b", "c"]


def test_no_documents_give_no_results(tmp_path: Path) -> None:
    (out,), _, backend = rerank(tmp_path, [{"query": "q", "documents": []}])
    assert out["results"] == []
    assert backend.asked == []


@pytest.mark.parametrize(
    ("documents", "field"),
    [
        (["a", "b", {"text": 3}], "documents[2].text"),
        ([{"doc_id": "a"}], "documents[0].text"),
        ([{"text": "a", "doc_id": 1.5}], "documents[0].doc_id"),
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
    assert [reject["field"] for reject in rejects(tmp_path)] == [field]


def test_a_too_long_query_is_rejected_and_the_others_are_processed(tmp_path: Path) -> None:
    rows = [make_pair(0, query="endless"), make_pair(1, document="1")]
    out, _, _ = rerank(tmp_path, rows)
    assert [row["query_id"] for row in out] == ["q1"]
    (reject,) = rejects(tmp_path)
    assert (reject["line"], reject["field"], reject["reason"]) == (1, "query", "too long")


def pairs_of(query: str, *documents: str) -> list[Row]:
    return [
        make_pair(query=query, query_id=query, doc_id=f"{query}{number}", document=document)
        for number, document in enumerate(documents)
    ]


def told(out: list[Row]) -> list[str]:
    """Return doc_id with its evidence or the reason without one."""
    return [
        f"{row['doc_id']} {row.get('predicted_evidence', row.get('evidence'))} "
        f"{row['evidence_omitted']}"
        for row in out
    ]


@pytest.mark.parametrize(
    ("options", "expected", "rounds"),
    [
        ({"evidence_top": 1}, ["b why None", "c None evidence_top", "a None evidence_top"], ["b"]),
        ({"threshold": 0.8}, ["b why None", "c why None", "a None threshold"], None),
        ({"threshold": 0.2}, ["b why None", "c why None", "a why None", "d why None"], None),
        (
            {"max_evidence_tokens": 60},
            ["b why None", "c None max_evidence_tokens", "a None max_evidence_tokens"],
            ["b", "c"],
        ),
    ],
    ids=["top", "threshold", "low-threshold", "tokens"],
)
def test_limits_on_evidence_are_the_same_in_both_shapes(
    tmp_path: Path, options: Row, expected: list[str], rounds: list[str] | None
) -> None:
    texts = {"a": "1", "b": "3 t50", "c": "2 t40", "d": "-1"}
    documents = [{"doc_id": name, "text": text} for name, text in texts.items()]
    (out,), summary, backend = rerank(tmp_path, [{"query": "q", "documents": documents}], **options)
    outcomes = [*expected, "d None threshold"][:4]
    assert told(out["results"]) == outcomes
    if rounds:
        tasks = [task for task in backend.asked if task.max_new_tokens]
        assert [task.document for task in tasks] == [texts[name] for name in rounds]
        assert {task.write_above for task in tasks} == {-math.inf}
    rows = [
        make_pair(query="q", query_id="q", doc_id=name, document=text)
        for name, text in texts.items()
    ]
    pairs, of_pairs, _ = rerank(second(tmp_path), rows, **options)
    assert told(sorted(pairs, key=lambda row: row["rank"])) == outcomes
    assert [row["doc_id"] for row in pairs] == list(texts), "in the order of the input"
    assert of_pairs.figures == summary.figures
    figures: Any = summary.figures["evidence"]
    assert figures["given"] == sum(outcome.endswith("None") for outcome in outcomes)
    for reason in ("threshold", "evidence_top", "max_evidence_tokens"):
        assert figures.get(f"omitted_{reason}", 0) == sum(
            outcome.endswith(reason) for outcome in outcomes
        )


def second(tmp_path: Path) -> Path:
    path = tmp_path / "second"
    path.mkdir()
    return path


def test_the_verdict_does_not_depend_on_the_threshold(tmp_path: Path) -> None:
    out, _, _ = rerank(tmp_path, pairs_of("q", "1", "-1"), threshold=0.2)
    assert [row["predicted_verdict"] for row in out] == ["yes", "no"]
    assert [row["predicted_evidence"] for row in out] == ["why", "why"]


def test_only_the_best_are_kept_and_texts_are_written_for_them_only(tmp_path: Path) -> None:
    documents = ["1", "3", "2", "-1"]
    rows = [*pairs_of("p", *documents), {"query": "q", "documents": documents}]
    out, summary, backend = rerank(tmp_path, rows, top_n=2)
    assert [row.get("doc_id") for row in out] == ["p1", "p2", None]
    assert [row["rank"] for row in out[:2]] == [1, 2]
    assert [result["logit"] for result in out[2]["results"]] == [3.0, 2.0]
    assert summary.counts.dropped == {"behind the best 2 of its query": 2}
    assert summary.figures["behind_top_n"] == 4
    written = [task.document for task in backend.asked if task.max_new_tokens]
    assert sorted(set(written)) == ["2", "3"]
    assert "evidence_omitted" not in out[0], "the verdict alone decides"


def test_each_query_has_its_own_budget(tmp_path: Path) -> None:
    rows = [row for query in "pqr" for row in pairs_of(query, "2 t30", "3 t30", "1 t30")]
    out, summary, _ = rerank(tmp_path, rows, max_evidence_tokens=60)
    assert [row["doc_id"] for row in out if row["predicted_evidence"]] == [
        f"{query}{number}" for query in "pqr" for number in (0, 1)
    ]
    assert summary.figures["evidence"] == {
        "given": 6,
        "omitted_max_evidence_tokens": 3,
        "tokens_written": 180,
        "tokens_kept": 180,
    }


def test_scattered_queries_get_no_evidence_and_a_hint(tmp_path: Path) -> None:
    rows = [*pairs_of("p", "1", "2"), *pairs_of("q", "5"), *pairs_of("p", "3", "4")]
    out, summary, backend = rerank(tmp_path, rows, evidence_top=1, top_n=1)
    assert len(out) == 5
    assert told(out)[:2] == ["p0 None scattered", "p1 None scattered"]
    assert told(out)[2] == "q0 why None"
    assert {task.document for task in backend.asked if task.max_new_tokens} == {"5"}
    assert summary.figures["hint"] == (
        "4 rows of scattered queries have no rank and no evidence, and are all kept: --sort-queries"
    )
    assert summary.figures["evidence"] == {
        "given": 1,
        "omitted_scattered": 4,
        "tokens_written": 10,
        "tokens_kept": 10,
    }


@pytest.mark.parametrize("options", [{}, {"max_evidence_tokens": 90}, {"top_n": 3}])
def test_repeated_evidence_is_left_out_in_both_shapes(tmp_path: Path, options: Row) -> None:
    texts = {"a": "1 escaped", "b": "3 escaped", "c": "2", "d": "-1"}
    documents = [{"doc_id": name, "text": text} for name, text in texts.items()]
    (out,), summary, _ = rerank(
        tmp_path, [{"query": "q", "documents": documents}], skip_repeats=True, **options
    )
    best, other, repeated = out["results"][:3]
    assert told([best, other]) == ["b AT&T < 3 None", "c why None"]
    assert told([repeated]) == ["a None repeats"]
    assert (repeated["repeats"], "repeats" in best) == ("b", False)
    assert (repeated["verdict"], repeated["relevance_score"] > 0.5) == ("yes", True)
    rows = [
        make_pair(query="q", query_id="q", doc_id=name, document=text)
        for name, text in texts.items()
    ]
    pairs, of_pairs, _ = rerank(second(tmp_path), rows, skip_repeats=True, **options)
    row = next(row for row in pairs if row["doc_id"] == "a")
    assert (row["predicted_evidence"], row["evidence_omitted"], row["repeats"]) == (
        None,
        "repeats",
        "b",
    )
    assert of_pairs.figures == summary.figures
    figures: Any = summary.figures["evidence"]
    assert (figures["given"], figures["omitted_repeats"]) == (2, 1)
    assert figures["tokens_kept"] == figures["tokens_written"] - 10


def test_the_budget_of_repeated_evidence_goes_to_the_next_documents(tmp_path: Path) -> None:
    texts = {"a": "4 escaped", "b": "3 escaped", "c": "2", "d": "1"}
    documents = [{"doc_id": name, "text": text} for name, text in texts.items()]
    rows = [{"query": "q", "documents": documents}]
    (out,), summary, _ = rerank(tmp_path, rows, skip_repeats=True, max_evidence_tokens=20)
    assert [result["evidence_omitted"] for result in out["results"]] == [
        None, "repeats", None, "max_evidence_tokens",
    ]  # fmt: skip
    figures: Any = summary.figures["evidence"]
    assert (figures["tokens_kept"], figures["tokens_written"]) == (20, 30)
    (out,), _, _ = rerank(second(tmp_path), rows, max_evidence_tokens=20)
    assert [result["evidence_omitted"] for result in out["results"]] == [
        None, None, "max_evidence_tokens", "max_evidence_tokens",
    ]  # fmt: skip


def test_figures_of_texts_are_those_of_the_evidence_given(tmp_path: Path) -> None:
    documents = [
        {"doc_id": str(logit), "text": f"Steam drives the mill.\n\nOther text is broken: {logit}."}
        for logit in (3, 2)
    ]
    options: Row = {"skip_repeats": True, "grounding": "repair"}
    (out,), summary, _ = rerank(
        tmp_path, [{"query": "what drives the mill?", "documents": documents}], **options
    )
    best, repeated = out["results"]
    assert (best["evidence_origin"], best["format_ok"]) == ("extracted", False)
    assert (repeated["evidence_omitted"], repeated["format_ok"]) == ("repeats", None)
    assert summary.figures["format_broken"] == 1
    figures: Any = summary.figures["evidence"]
    assert (figures["given"], figures["extracted"], figures["omitted_repeats"]) == (1, 1, 1)


def test_rows_of_scattered_queries_keep_repeated_evidence(tmp_path: Path) -> None:
    rows = [*pairs_of("p", "2 escaped"), *pairs_of("q", "5"), *pairs_of("p", "1 escaped")]
    out, _, _ = rerank(tmp_path, rows, skip_repeats=True)
    assert all(row["predicted_evidence"] for row in out)


def test_a_too_long_query_rejects_all_its_rows_under_a_budget(tmp_path: Path) -> None:
    rows = [*pairs_of("endless", "1", "2"), *pairs_of("q", "1")]
    out, _, _ = rerank(tmp_path, rows, evidence_top=1)
    assert [row["query"] for row in out] == ["q"]
    assert [reject["line"] for reject in rejects(tmp_path)] == [1, 2]


def test_groups_may_span_windows_of_the_engine_and_broken_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Row] = []
    for query in "pqrst":
        rows += pairs_of(query, "1", "2", "3", "4", "5")
        rows.insert(-2, {"query": query})
    rows.insert(7, {"query": "z", "documents": ["1", "2"]})
    complete, _, _ = rerank(tmp_path, rows, evidence_top=2)
    monkeypatch.setattr("prism_cli.engine.shard.WINDOW_ROWS", 4)
    partial, summary, backend = rerank(second(tmp_path), rows, evidence_top=2)
    assert partial == complete
    assert summary.counts.rejected == 5
    assert [row["doc_id"] for row in partial if row.get("predicted_evidence")] == [
        f"{query}{number}" for query in "prst" for number in (3, 4)
    ], "the rows of q do not stand together"
    assert len(backend.rounds) > 4


def test_a_budget_refuses_too_many_rows_of_a_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("engine.group_starts", "engine.inflight", "stages.rerank"):
        monkeypatch.setattr(f"prism_cli.{module}.MAX_GROUP_ROWS", 3)
    rows = [*pairs_of("p", "1", "2", "3", "4"), *pairs_of("q", "1", "2", "3")]
    out, summary, _ = rerank(tmp_path, rows, evidence_top=1)
    assert [row["evidence_omitted"] for row in out] == ["too_many"] * 4 + [
        "evidence_top",
        "evidence_top",
        None,
    ]
    assert summary.figures["hint"] == (
        "4 rows of queries with too many have no rank and no evidence: at most 3 of a query are "
        "ranked with these options"
    )


def test_blank_documents_are_not_scored_and_come_last(tmp_path: Path) -> None:
    texts = ["", " \n\t\u00a0", "\u200b\ufeff\u2060\u3164", "-9", "2 why"]
    row = {"query": "q", "documents": [*texts, {"title": "3 title", "text": " "}]}
    pairs = [
        make_pair(number, query="p", query_id="p", document=text)
        for number, text in enumerate(texts)
    ]
    (out, *rows), summary, backend = rerank(tmp_path, [row, *pairs])
    assert {task.document for task in backend.asked} == {"-9", "2 why", "3 title  "}
    results = out["results"]
    assert [result["index"] for result in results][:3] == [5, 4, 3]
    blank = {
        "relevance_score": 0.0, "logit": None, "verdict": "no",
        "contribution": None, "evidence": None, "format_ok": None, "truncated": False,
    }  # fmt: skip
    for result in results[3:]:
        assert {name: result[name] for name in blank} == blank
    assert {result["index"] for result in results[3:]} == {0, 1, 2}
    assert [entry["rank"] for entry in rows] == [3, 4, 5, 2, 1]
    for result in rows[:3]:
        assert (result["score"], result["logit"], result["predicted_verdict"]) == (0.0, None, "no")
        assert result["predicted_evidence"] is None
    assert summary.figures["blank"] == 6
    assert summary.figures["yes"] == 3


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"evidence_top": 1}, {"top_n": 2}])
def test_blank_documents_never_get_a_text(tmp_path: Path, options: dict[str, Any]) -> None:
    (out,), _, backend = rerank(tmp_path, [{"query": "q", "documents": [" ", "-1"]}], **options)
    assert [result["index"] for result in out["results"]] == [1, 0]
    assert {task.document for task in backend.asked} == {"-1"}
    assert out["results"][1].get("evidence_omitted", "blank") == "blank"


def test_only_blank_documents_send_no_request(tmp_path: Path) -> None:
    (out,), _, backend = rerank(tmp_path, [{"query": "endless", "documents": [" ", "\u200b"]}])
    assert [result["logit"] for result in out["results"]] == [None, None]
    assert backend.asked == []


def test_evidence_unrelated_to_the_document_is_not_well_formed(tmp_path: Path) -> None:
    rows = [make_pair(number, document=text) for number, text in enumerate(["1 why", "1 what"])]
    out, summary, _ = rerank(tmp_path, rows)
    assert [row["format_ok"] for row in out] == [True, False]
    assert [row["predicted_evidence"] for row in out] == ["why", "why"]
    assert summary.figures["format_broken"] == 1


def rerank_files(
    tmp_path: Path, output: Path | None, files: Mapping[str, list[Row]], *named: str, **options: Any
) -> RunSummary:
    """Rerank several files of one folder through the real engine: the folder, or the named ones."""
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    for name, rows in files.items():
        (folder / name).write_bytes(jsonl(rows))
    stage = RerankStage(
        Reranker(ScriptedReranker()), RankOptions(max_new_tokens=9, grounding="off", **options)
    )
    inputs = [str(folder / name) for name in named] or [str(folder)]
    return run_rows(stage, inputs, RunOptions(output=output, quiet=True))


def ranks(path: Path) -> list[Any]:
    return [orjson.loads(line)["rank"] for line in path.read_bytes().splitlines()]


def pair(query: str, number: int) -> Row:
    return {"query_id": query, "query": f"about {query}", "document": f"{number}"}


@pytest.mark.parametrize("options", [{}, {"top_n": 2}, {"max_evidence_tokens": 15}])
def test_shards_of_a_directory_equal_separate_runs(tmp_path: Path, options: dict[str, Any]) -> None:
    files = {
        "a.jsonl": [pair("q1", 1), pair("q2", 5), pair("q1", 2)],  # q1 is scattered
        "b.jsonl": [pair("q3", 3), pair("q3", 4)],
        "c.jsonl": [pair("q4", 3), pair("q5", 4), pair("q4", 9), pair("q4", 8)],
    }
    rerank_files(tmp_path, tmp_path / "all", files, **options)
    for name in files:
        rerank_files(tmp_path, tmp_path / "alone" / name, {}, name, **options)
        content = (tmp_path / "all" / name).read_bytes()
        assert content == (tmp_path / "alone" / name).read_bytes()
        assert content
    assert ranks(tmp_path / "all" / "b.jsonl") == [2, 1]


def test_a_query_in_two_files_is_refused_with_both_places_and_other_files_are_processed(
    tmp_path: Path,
) -> None:
    files = {
        "a.jsonl": [pair("q0", 0), pair("q1", 1), pair("q1", 2)],
        "b.jsonl": [pair("q1", 3), pair("q2", 4)],
        "c.jsonl": [pair("q3", 3), pair("q3", 4)],
        "d.jsonl": [
            {"query_id": "q1", "query": "about q1", "documents": ["1"]}
        ],  # complete within its file
    }
    summary = rerank_files(tmp_path, tmp_path / "out", files)
    assert summary.exit_code == 2
    place = tmp_path / "in"
    assert f"{place / 'a.jsonl'}:2 and {place / 'b.jsonl'}:1" in str(summary.refused)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.jsonl"))
    assert names == ["c.jsonl", "d.jsonl"]

    later = {
        "e.jsonl": [pair("q3", 9)]
    }  # finished outputs stay valid, the conflicting one does not
    summary = rerank_files(tmp_path, tmp_path / "out", later)
    assert f"{place / 'c.jsonl'}:1 and {place / 'e.jsonl'}:1" in str(summary.refused)
    assert not (tmp_path / "out" / "e.jsonl").exists()
    with pytest.raises(RefusedOutputsError) as caught:
        rerank_files(tmp_path, tmp_path / "two", {}, "a.jsonl", "b.jsonl")
    assert caught.value.exit_code == 2
    assert [path.name for path in (tmp_path / "two").iterdir()] == [BOARD_NAME]


def test_merged_files_are_one_stream_with_ranks_across_files(tmp_path: Path) -> None:
    files = {"a.jsonl": [pair("q0", 0), pair("q1", 1)], "b.jsonl": [pair("q1", 3), pair("q2", 4)]}
    out = tmp_path / "out.jsonl"
    rerank_files(tmp_path, out, files, "a.jsonl", "b.jsonl")
    assert ranks(out) == [1, 2, 1, 1]


def test_each_shard_has_its_figures_and_the_summary_their_sum(tmp_path: Path) -> None:
    sizes = {"a": 2, "b": 3}
    (tmp_path / "shards").mkdir()
    for name, size in sizes.items():
        rows = [
            make_pair(doc_id=None, query=name, query_id=name, document=f"{name} cut {n}")
            for n in range(size)
        ]
        if name == "a":  # a scattered query
            rows.insert(1, make_pair(doc_id=None, query="other", query_id="other"))
        (tmp_path / "shards" / f"{name}.jsonl").write_bytes(jsonl(rows))
    stage = RerankStage(Reranker(ScriptedReranker()), RankOptions(evidence=False))
    options = RunOptions(output=tmp_path / "out", quiet=True)
    summary = run_rows(stage, [str(tmp_path / "shards")], options)
    examples = {
        name: orjson.loads((tmp_path / f"out/{name}.jsonl.manifest.json").read_bytes())["figures"]
        for name in sizes
    }
    assert {
        name: (example["documents"], example["truncated"]) for name, example in examples.items()
    } == {
        "a": (3, 2),
        "b": (3, 3),
    }
    assert "hint" in examples["a"]
    assert "hint" not in examples["b"]
    assert (summary.figures["documents"], summary.figures["truncated"]) == (6, 5)
    assert summary.figures["hint"] == examples["a"]["hint"]


def scored(*pairs: tuple[float, float], **changes: Any) -> list[Row]:
    """Return pair rows of (logit, source_score)."""
    return [
        make_pair(doc_id=f"d{at}", document=f"{logit} text", source_score=score, **changes)
        for at, (logit, score) in enumerate(pairs)
    ]


def test_rank_and_evidence_follow_the_fused_score(tmp_path: Path) -> None:
    rows = scored((3, 0), (1, 30), (2, 10))
    output, _, backend = rerank(tmp_path, rows, fuse=0.6, evidence_top=1)
    # logits scaled: 1, 0, 1/2; first stage: 0, 1, 1/3
    assert [row["fused_score"] for row in output] == [0.4, 0.6, 0.4]
    assert [row["rank"] for row in output] == [2, 1, 3]  # equal ones by logit
    assert [row["logit"] for row in output] == [3, 1, 2]
    assert [row["evidence_omitted"] for row in output] == ["evidence_top", None, "evidence_top"]
    assert backend.rounds[-1] == ["1 text"]
    assert all(
        row["source_score"] == given["source_score"]
        for row, given in zip(output, rows, strict=True)
    )


def test_rows_without_a_first_stage_are_rejected_before_the_model_reads_them(
    tmp_path: Path,
) -> None:
    rows = [make_pair(doc_id="d", document="1 text")]
    output, _, backend = rerank(tmp_path, rows, fuse=0.5)
    assert (output, backend.rounds) == ([], [])


def test_top_n_keeps_the_best_by_fused_score_and_blank_documents_stay_last(tmp_path: Path) -> None:
    rows = [*scored((3, 0), (1, 30), (2, 10)), make_pair(doc_id="b", document=" ", source_score=99)]
    output, _, _ = rerank(tmp_path, rows, fuse=1.0)
    assert [(row["rank"], row["fused_score"]) for row in output] == [
        (3, 0.0), (1, 1.0), (2, pytest.approx(1 / 3)), (4, None),
    ]  # fmt: skip
    kept, _, _ = rerank(tmp_path / "kept", rows, fuse="rrf", top_n=1)
    assert [row["doc_id"] for row in kept] == ["d0"]  # ranks 1 and 3; d1: 3 and 1; d2: 2 and 2


def test_results_of_a_query_with_documents_are_in_fused_order(tmp_path: Path) -> None:
    texts = [{"text": f"{logit}", "source_rank": rank} for logit, rank in ((3, 3), (1, 1), (2, 2))]
    (row,), _, _ = rerank(tmp_path, [{"query": "q", "documents": texts}], fuse=0.9)
    assert [(one["index"], one["fused_score"]) for one in row["results"]] == [
        (1, 0.9), (2, pytest.approx(0.05 + 0.9 * 61 / 124, abs=1e-8)), (0, 0.1),
    ]  # fmt: skip
    assert [one["logit"] for one in row["results"]] == [1, 2, 3]


def test_fusion_without_a_first_stage_is_rejected_by_query(tmp_path: Path) -> None:
    rows = [make_pair(document="1"), make_pair(query="other", document="2", source_score="high")]
    documents = [{"text": "1"}, {"text": "2", "source_rank": "first"}]
    output, _, _ = rerank(tmp_path, [*rows, {"query": "q", "documents": documents}], fuse=0.5)
    assert output == []
    assert {row["field"] for row in rejects(tmp_path)} == {
        "source_score", "documents[1].source_rank",
    }  # fmt: skip


def test_scattered_rows_have_no_fused_score_and_an_old_one_is_gone(tmp_path: Path) -> None:
    one, two = scored((3, 0), (1, 30))
    between = make_pair(query_id="o", query="other", document="1", source_score=1, fused_score=7)
    output, _, _ = rerank(tmp_path, [one, between, two], fuse=0.5)
    assert [row["fused_score"] for row in output] == [None, 0.5, None]
    assert [row["rank"] for row in output] == [None, 1, None]
    (plain,), _, _ = rerank(tmp_path / "plain", [between])
    assert "fused_score" not in plain


def test_a_second_run_leaves_no_prediction_of_the_first(tmp_path: Path) -> None:
    rows = [make_pair(doc_id=str(n), document="why 3", note=n) for n in range(2)]
    first, _, _ = rerank(tmp_path, rows, skip_repeats=True, grounding="repair")
    assert any("repeats" in row for row in first)
    assert any("predicted_citations" in row for row in first)
    names = set(PREDICTIONS.values())
    for options in ({}, {"evidence": False}, {"grounding": "report"}):
        again, _, _ = rerank(tmp_path / str(options), first, **options)
        fresh, _, _ = rerank(tmp_path / f"fresh {options}", rows, **options)
        assert [names & row.keys() for row in again] == [names & row.keys() for row in fresh]
        assert again == fresh


def test_a_models_own_weight_counts_only_where_the_first_stage_is_known(tmp_path: Path) -> None:
    """And what is no number is no score of a first stage, but no fault either."""
    known = scored((3, 0), (1, 30), (2, 10))
    unknown = [
        make_pair(query_id="o", query="other", doc_id=f"e{at}", document=f"{at}", source_score="x")
        for at in (1, 2)
    ]
    output, _, _ = rerank(tmp_path, [*known, *unknown], own_fuse=0.6)
    assert [row.get("fused_score") for row in output] == [0.4, 0.6, 0.4, None, None]
    assert [row["rank"] for row in output] == [2, 1, 3, 2, 1]
    assert all("fused_score" not in row for row in output[3:])
    alone, _, _ = rerank(tmp_path / "alone", [*known, *unknown], fuse=0.0, own_fuse=0.6)
    assert [row["rank"] for row in alone] == [1, 3, 2, 2, 1]
    assert all("fused_score" not in row for row in alone)


def test_where_two_documents_tie_in_the_middle_the_reranker_decides(tmp_path: Path) -> None:
    for name, logits in (("one", (3, 1)), ("two", (1, 3))):
        rows = scored((logits[0], logits[1]), (logits[1], logits[0]))
        output, _, _ = rerank(tmp_path / name, rows, own_fuse=0.5)
        assert [row["fused_score"] for row in output] == [0.5, 0.5]
        assert [row["logit"] for row in output if row["rank"] == 1] == [3]
        texts = [{"text": row["document"], "source_score": row["source_score"]} for row in rows]
        (many,), _, _ = rerank(
            tmp_path / f"{name} many", [{"query": "q", "documents": texts}], own_fuse=0.5
        )
        assert [one["logit"] for one in many["results"]] == [3, 1]


def test_too_many_rows_for_the_models_own_fusion_are_ranked_by_the_model_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("stages.rerank", "engine.inflight", "engine.group_starts"):
        monkeypatch.setattr(f"prism_cli.{module}.MAX_GROUP_ROWS", 2)
    rows = scored((1, 30), (3, 0), (2, 10))
    output, _, _ = rerank(tmp_path, rows, own_fuse=0.9)
    assert [row["rank"] for row in output] == [3, 1, 2]
    assert all("fused_score" not in row for row in output)
    asked, _, _ = rerank(tmp_path / "asked", rows, fuse=0.9)
    assert [row["rank"] for row in asked] == [None] * 3


def test_options_are_read_once_for_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []

    def counted(options: RankOptions, **changed: Any) -> RankOptions:
        read.append(changed)
        return replace(options, **changed)

    monkeypatch.setattr("prism_cli.stages.rerank.replace", counted)
    stage = RerankStage(Reranker(ScriptedReranker()), RankOptions())
    stage.first_pass(iter(make_pairs(20)))
    assert len(read) == 1


def test_scores_of_a_first_stage_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    rows = [
        make_pair(doc_id="a", document="1", source_score="3.5"),
        make_pair(doc_id="b", document="2", source_score=2),
    ]
    _, summary, _ = rerank(tmp_path, rows, own_fuse=0.5)
    assert summary.figures["unusable_source_scores"] == 1
    assert summary.figures["fused_queries"] == 1
