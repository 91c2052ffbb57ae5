"""`prism rerank --query`: a question and documents to a ranking, as text and as JSON."""

import io
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from prism_cli.commands.ranking_text import example_lines, print_ranking
from prism_cli.rows.best_documents import BestDocuments
from prism_cli.stages.rerank_query import other_question
from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl

QUESTION = "what is item 3"
LONG = " ".join(f"word{number}" for number in range(60))


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    rows = [make_pair(number, query=None, query_id=None) for number in range(12)]
    (tmp_path / "docs").mkdir()
    return write_jsonl(tmp_path / "docs" / "documents.jsonl", rows)


def ask(documents: Path | str, model: Path, *more: str | Path) -> Any:
    options = ("--model", model, "--max-new-tokens", "4", "--no-evidence", *more)
    return prism("rerank", "--query", QUESTION, documents, *options)


def result(doc_id: str, logit: float, **more: Any) -> dict[str, Any]:
    """Return an output row of a pair."""
    expected = {"score": 0.9, "logit": logit, "predicted_verdict": "yes", "truncated": False}
    return make_pair(1, doc_id=doc_id) | expected | more


def test_the_best_ten_are_printed_and_no_file_is_written(
    documents: Path, tiny_reranker: Path
) -> None:
    done = ask(documents, tiny_reranker)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{QUESTION}\n12 documents, ")
    assert "the best 10 (--top-n N shows more)" in " ".join(done.stdout.split())
    ranks = [line.split()[0] for line in done.stdout.splitlines() if "  0." in line[:8]]
    assert ranks == [str(rank) for rank in range(1, 11)]
    assert [path.name for path in documents.parent.iterdir()] == [documents.name]


def test_json_is_one_object_in_the_shape_of_rerank_apis(
    documents: Path, tiny_reranker: Path
) -> None:
    done = ask(documents, tiny_reranker, "--json", "--top-n", "3", "-q")
    summary = orjson.loads(done.stdout)
    assert (summary["query"], summary["documents"]) == (QUESTION, 12)
    assert len(summary["results"]) == 3
    logits = [result["logit"] for result in summary["results"]]
    assert logits == sorted(logits, reverse=True)
    assert all(result["doc_id"] == f"d{result['index']}" for result in summary["results"])
    (warning,) = done.stderr.splitlines()  # of an untrained model, even with -q
    assert "a known relevant pair scores" in warning


def test_rows_are_written_where_an_output_is_named_and_shown_again_when_finished(
    documents: Path, tiny_reranker: Path
) -> None:
    done = ask(documents, tiny_reranker, "-o", "out.jsonl")
    rows = read_jsonl(Path("out.jsonl"))
    assert [row["doc_id"] for row in rows] == [f"d{number}" for number in range(12)]
    assert {row["query"] for row in rows} == {QUESTION}
    assert sorted(row["rank"] for row in rows) == list(range(1, 13))
    assert not any("index" in name for row in rows for name in row)
    rerun = ask(documents, tiny_reranker, "-o", "out.jsonl")
    assert "nothing to do" in rerun.stderr
    assert rerun.stdout == done.stdout


def test_another_question_into_the_same_output_is_refused(
    documents: Path, tiny_reranker: Path
) -> None:
    ask(documents, tiny_reranker, "-o", "out.jsonl")
    options = (
        "--model",
        tiny_reranker,
        "--no-evidence",
        "--max-new-tokens",
        "4",
        "-o",
        "out.jsonl",
    )
    done = prism("rerank", "--query", "another", documents, *options)
    assert done.returncode == 2
    assert "query" in done.stderr


@pytest.mark.parametrize("limits", [(), ("--top-n", "2")])
def test_rows_of_other_questions_are_left_out_and_counted(
    tmp_path: Path, tiny_reranker: Path, limits: tuple[str, ...]
) -> None:
    rows = [make_pair(1, query=QUESTION), make_pair(3, query="other"), make_pair(2, query=None)]
    path = write_jsonl(tmp_path / "in.jsonl", [make_pair(0), *rows])
    done = ask(path, tiny_reranker, *limits)
    assert done.returncode == 0, done.stderr
    assert "left out: 2 (another question)" in done.stderr
    assert "2 documents" in done.stdout
    done = ask(path, tiny_reranker, "-o", "out.jsonl", *limits)
    assert done.returncode == 0, done.stderr
    assert "4 rows in, 2 rows out, 2 dropped (another question)" in done.stderr
    assert not Path("out.jsonl.rejects.jsonl").exists()
    ranks = [row["rank"] for row in read_jsonl(Path("out.jsonl"))]
    assert sorted(ranks) == [1, 2]  # of one query, whatever query_id stands in the rows


@pytest.mark.parametrize("options", [(), ("--fuse", "1"), ("--fuse", "1", "--top-n", "2")])
def test_documents_around_a_row_with_several_are_ranked_together(
    options: tuple[str, ...], tmp_path: Path, tiny_reranker: Path
) -> None:
    pairs = [make_pair(number, query=None, source_score=number) for number in range(4)]
    request = {"query": QUESTION, "documents": [{"doc_id": "d", "text": "t", "source_score": 1}]}
    path = write_jsonl(tmp_path / "in.jsonl", [*pairs[:2], request, pairs[2], request, pairs[3]])
    done = ask(path, tiny_reranker, "-o", "out.jsonl", *options)
    assert done.returncode == 0, done.stderr
    assert "no rank" not in done.stderr
    assert ("rows with documents are fused by themselves" in done.stderr) == bool(options)
    rows = [row for row in read_jsonl(Path("out.jsonl")) if "documents" not in row]
    ranks = {row["doc_id"]: row["rank"] for row in rows}
    if options:  # the order is that of the first stage
        assert ranks == {f"d{4 - rank}": rank for rank in range(1, len(rows) + 1)}
    else:
        assert sorted(ranks.values()) == [1, 2, 3, 4]
    assert sum("results" in row for row in read_jsonl(Path("out.jsonl"))) == 2


def test_a_row_of_documents_without_a_first_stage_is_rejected_alone(
    tmp_path: Path, tiny_reranker: Path
) -> None:
    pairs = [make_pair(number, query=None, source_score=number) for number in range(2)]
    path = write_jsonl(tmp_path / "in.jsonl", [pairs[0], {"documents": ["t"]}, pairs[1]])
    done = ask(path, tiny_reranker, "-o", "out.jsonl", "--fuse", "0.5")
    assert done.returncode == 4
    assert "source_score: expected the first stage's score" in done.stderr
    assert sorted(row["rank"] for row in read_jsonl(Path("out.jsonl"))) == [1, 2]


@pytest.mark.parametrize("rejected", [[], [make_pair(2, query=7)]])
def test_documents_too_many_for_a_fusion_are_reported(
    rejected: list[Any], tmp_path: Path, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prism_cli.stages.rerank.MAX_GROUP_ROWS", 2)
    rows = [make_pair(number, query=None, source_score=number) for number in range(3)]
    path = write_jsonl(tmp_path / "in.jsonl", rows + rejected)
    done = ask(path, tiny_reranker, "--fuse", "0.5")
    note = "more than 2 documents with these options: the order is that of the model alone"
    assert note in " ".join(done.stderr.split())
    assert "more than 2" not in ask(path, tiny_reranker, "--fuse", "0.5", "-q").stderr


def test_a_query_that_is_no_string_is_rejected(tmp_path: Path, tiny_reranker: Path) -> None:
    rows = [make_pair(1, query=QUESTION), make_pair(2, query=7)]
    done = ask(write_jsonl(tmp_path / "in.jsonl", rows), tiny_reranker)
    assert done.returncode == 4
    assert "query: expected a string, found number 7" in done.stderr


@pytest.mark.parametrize("question", ["in.jsonl", "-"])
def test_a_question_without_rows_is_refused_with_the_nearest_one(
    question: str, tiny_reranker: Path
) -> None:
    rows = [make_pair(1, query="what is item 33"), make_pair(2, query="who wrote it")]
    path = write_jsonl(Path("in.jsonl"), rows)
    with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes()))):
        done = ask(question, tiny_reranker, "--json")
    assert done.returncode == 2, done.stderr
    assert "no row holds this question; did you mean 'what is item 33'?" in done.stderr
    assert "rows without one are ranked for any question" in done.stderr
    assert done.stdout == ""


def test_the_json_says_whether_the_texts_could_be_read(
    documents: Path, tiny_reranker: Path
) -> None:
    options = ("--evidence", "--threshold", "0", "--top-n", "2", "--grounding", "off")
    done = ask(documents, tiny_reranker, "--json", *options)
    results = orjson.loads(done.stdout)["results"]
    assert all(
        list(document)[-4:] == ["contribution", "evidence", "format_ok", "evidence_omitted"]
        for document in results
    )
    best = BestDocuments(2)
    texts = {"predicted_contribution": None, "predicted_evidence": None}
    best.add(result("d", 1.0, **texts, format_ok=False), 0)
    assert best.ranked()[0].to_json()["format_ok"] is False


def test_documents_of_a_request_and_of_standard_input_are_ranked_too(tiny_reranker: Path) -> None:
    lines = b'{"documents": ["alpha", {"doc_id": "b", "text": "beta"}]}\n{"document": "gamma"}\n'
    with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines))):
        done = ask("-", tiny_reranker, "--json")
    summary = orjson.loads(done.stdout)
    assert sorted(result["index"] for result in summary["results"]) == [0, 1, 2]
    assert next(result["index"] for result in summary["results"] if result["doc_id"] == "b") == 1


@pytest.mark.parametrize("more", [("--sort-queries",)])
def test_options_for_rows_with_queries_are_refused(
    documents: Path, tiny_reranker: Path, more: tuple[str, ...]
) -> None:
    done = ask(documents, tiny_reranker, *more)
    assert done.returncode == 2
    assert f"{more[0]}: for rows that have queries of their own" in done.stderr


def test_a_folder_of_outputs_for_several_inputs_is_refused(
    documents: Path, tiny_reranker: Path
) -> None:
    done = ask(documents.parent, tiny_reranker, "-o", "one/")
    assert done.returncode == 0, done.stderr
    write_jsonl(documents.with_name("more.jsonl"), [make_pair(20, query=None)])
    done = ask(documents.parent, tiny_reranker, "-o", "out/")
    assert done.returncode == 2
    assert "Name one file, such as -o ranking.jsonl" in " ".join(done.stderr.split())
    assert not Path("out").exists()
    done = ask(documents.parent, tiny_reranker, "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert len(read_jsonl(Path("out.jsonl"))) == 13


@pytest.mark.parametrize("query", ["\u200b", "\u2060\u3164 \x01"])
def test_an_invisible_question_is_refused_before_the_model_is_loaded(
    documents: Path, query: str
) -> None:
    done = prism("rerank", "--query", query, documents, "--model", "no/such/folder")
    assert done.returncode == 2
    assert "--query: expected a question, found a blank string" in " ".join(done.stderr.split())


def test_a_row_whose_own_query_is_blank_is_a_document() -> None:
    assert [other_question({"query": query}, "q") for query in ("", " ", "\u200b", "q", "r")] == [
        "", "", "", "", "r",
    ]  # fmt: skip


def shown(width: int, monkeypatch: pytest.MonkeyPatch, capsys: Any, *rows: dict[str, Any]) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    best = BestDocuments(5)
    for place, row in enumerate(rows):
        best.add(row, place)
    print_ranking("a question", best.ranked(), {"documents": len(rows), "yes": 1}, "hf:some")
    output: str = capsys.readouterr().out
    return output


def words(output: str) -> str:
    """Return the text on one line."""
    return " ".join(output.split())


@pytest.mark.parametrize("width", [80, 200])
def test_no_word_is_broken(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"predicted_contribution": LONG, "predicted_evidence": LONG, "title": LONG}
    output = shown(width, monkeypatch, capsys, result("d", 1.0, **texts))
    assert max(map(len, output.splitlines())) <= width
    assert words(output).count(LONG) == 2


def test_markup_and_control_characters_are_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "[bold]no[/bold] [/foo] :smile: \x1b[31mred\u202eleft"
    output = shown(80, monkeypatch, capsys, result("d", 1.0, title=hostile, document=hostile))
    assert "[bold]no[/bold] [/foo] :smile: ⟨U+001B⟩[31mred⟨U+202E⟩left" in output
    assert "\x1b" not in output


def test_a_truncated_document_and_a_broken_text_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"predicted_contribution": None, "predicted_evidence": None, "truncated": True}
    output = shown(80, monkeypatch, capsys, result("d", 1.0, **broken))
    assert "longer than the model takes: it read the beginning" in words(output)
    assert "the model's text could not be read" in words(output)


def test_a_text_unrelated_to_its_document_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    off = {"predicted_contribution": "Bananas.", "predicted_evidence": "Pears.", "format_ok": False}
    output = words(shown(80, monkeypatch, capsys, result("d", 1.0, **off)))
    assert "no usable evidence" in output
    assert "Bananas" not in output
    assert "Pears" not in output


def test_equal_scores_go_by_doc_id(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [result(name, 1.0) for name in ("b", "ab", "a", "c")]
    output = shown(80, monkeypatch, capsys, *rows, result("z", 2.0))
    order = [line.split()[-1] for line in output.splitlines() if " yes " in line and line[0] != "5"]
    assert order[-4:] == ["z", "a", "ab", "b"]


def test_a_summary_shows_the_best_document_of_the_first_query(
    tmp_path: Path, tiny_reranker: Path
) -> None:
    rows = [make_pair(1, doc_id=f"d{n}", document=f"Text {n}.") for n in range(3)]
    path = write_jsonl(tmp_path / "in.jsonl", [*rows, make_pair(2)])
    done = prism("rerank", path, "-o", "out.jsonl", "--model", tiny_reranker, "--no-evidence")
    best = max(read_jsonl(Path("out.jsonl"))[:3], key=lambda row: row["logit"])
    assert f"  query     {rows[0]['query']}\n" in done.stderr
    assert f"  document  {best['doc_id']}: score {best['score']:.3f}" in done.stderr


def test_the_example_has_the_evidence_sentence() -> None:
    best = BestDocuments(1)
    assert example_lines(best) == []
    best.add(result("d", 1.0, predicted_evidence="It is.", predicted_contribution="So."), 0)
    assert example_lines(best)[-1] == "  evidence  It is."


def test_the_example_prefers_a_row_with_usable_texts() -> None:
    best, usable = BestDocuments(1), BestDocuments(1, usable=True)
    off = {"predicted_evidence": "Pears.", "predicted_contribution": "So.", "format_ok": False}
    for row in (result("d", 2.0, **off), result("n", 1.0, predicted_verdict="no")):
        best.add(row, 0)
        usable.add(row, 0)
    lines = example_lines(best, usable)
    assert "d: score" in lines[2]
    assert "no usable evidence" in lines[-1]
    fine = result("e", 1.0, query="other", **off | {"predicted_evidence": "It.", "format_ok": True})
    usable.add(fine, 0)
    lines = example_lines(best, usable)
    assert lines[1:] == ["  query     other", lines[2], "  evidence  It."]
    assert "e: score" in lines[2]
    assert "d: score" in example_lines(best)[2]


def test_prompts_of_documents_have_the_question(documents: Path, tiny_reranker: Path) -> None:
    done = ask(documents, tiny_reranker, "--print-prompts")
    assert done.returncode == 0, done.stderr
    prompts = [orjson.loads(line)["prompt"] for line in done.stdout.splitlines()]
    assert len(prompts) == 12
    assert all(QUESTION in prompt for prompt in prompts)
