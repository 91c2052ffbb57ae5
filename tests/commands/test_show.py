"""`prism show`: rankings of reranked rows, with the cited sentences marked."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from prism_cli.commands.cited_text import score_bar
from prism_cli.commands.ranking_text import example_lines
from prism_cli.commands.show import app
from prism_cli.errors import UsageError
from prism_cli.rows.best_documents import BestDocuments
from prism_cli.rows.results import result_of

DOCUMENT = (
    "The office is in the tower. It opens at 9:00 on Saturdays. Dogs wait outside. "
    "Tickets are sold on the pier. Nobody answers on Sundays."
)
EVIDENCE = "It opens at 9:00 on Saturdays and glows."
PAIR: dict[str, Any] = {
    "query_id": "q1",
    "query": "When does it open?",
    "doc_id": "d1",
    "title": "Harbour office",
    "document": DOCUMENT,
    "score": 0.75,
    "logit": 1.1,
    "rank": 1,
    "model": "hf:some",
    "truncated": False,
    "predicted_verdict": "yes",
    "format_ok": True,
    "predicted_contribution": "It gives the hour.",
    "predicted_evidence": EVIDENCE,
    "predicted_citations": [
        {"start": 0, "end": 29, "field": "document", "source_start": 28, "source_end": 57},
        {"start": 0, "end": 2, "field": "title", "source_start": 0, "source_end": 7},
    ],
    "unsupported": [[34, 39]],
    "evidence_origin": "repaired",
}
NO = (
    PAIR
    | {"doc_id": "d2", "document": "Dogs.", "score": 0.1, "logit": -2.2, "predicted_verdict": "no"}
    | dict.fromkeys(("predicted_contribution", "predicted_evidence", "format_ok"))
)


def shown(tmp_path: Path, rows: list[dict[str, Any]], *options: str) -> tuple[int, str, Any]:
    path = tmp_path / "reranked.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    result = CliRunner().invoke(app, [str(path), *options])
    return result.exit_code, result.output, result.exception


def test_rows_without_logit_and_results_without_names_are_shown(tmp_path: Path) -> None:
    bare = {"query": "q", "document": "Dogs bark.", "score": 0.9, "predicted_verdict": "yes"}
    code, text, _ = shown(tmp_path, [bare])
    assert (code, "Dogs bark" in text) == (0, True)
    results = [
        {"index": 1, "relevance_score": 0.9, "verdict": "yes"},
        {"index": 0, "relevance_score": 0.2, "verdict": "no"},
    ]
    code, text, _ = shown(tmp_path, [{"query": "q", "documents": ["A.", "B."], "results": results}])
    assert (code, "0.90" in text) == (0, True)


def test_cited_parts_are_marked_and_far_sentences_left_out(tmp_path: Path) -> None:
    code, text, _ = shown(tmp_path, [NO, PAIR])
    lines = " ".join(text.split())
    assert code == 0
    assert "2 documents, 1 judged yes by hf:some" in lines
    assert "1 ████████░░ 0.750 yes Harbour office (d1)" in lines
    assert "evidence It opens at 9:00 on Saturdays and ⟨?glows⟩." in lines
    assert "title ⟦Harbour⟧ office" in lines
    assert (
        "document The office is in the tower. ⟦It opens at 9:00 on Saturdays⟧. Dogs wait outside. …"
        in lines
    )
    assert "Nobody answers" not in lines
    assert "repaired: sentences" in lines
    assert lines.index("(d1)") < lines.index("(d2)")


def test_fused_scores_stand_beside_the_scores_and_decide_the_order(tmp_path: Path) -> None:
    rows = [PAIR | {"fused_score": 0.0325}, NO | {"fused_score": 0.032787}]
    blank = NO | {"doc_id": "d3", "fused_score": None, "score": 0.0, "logit": None}
    lines = " ".join(shown(tmp_path, [*rows, blank])[1].split())
    assert "1 █░░░░░░░░░ 0.100 fused 0.0328 no Harbour office (d2)" in lines
    assert "2 ████████░░ 0.750 fused 0.0325 yes Harbour office (d1)" in lines
    assert "3 ░░░░░░░░░░ 0.000 fused none no Harbour office (d3)" in lines
    assert shown(tmp_path, [wide_row(rows)])[1] == shown(tmp_path, rows)[1]
    best = BestDocuments(1)
    best.add(rows[0], 0)
    assert "score 0.750, fused 0.0325, verdict yes" in example_lines(best)[2]


def wide_row(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of a query that has the documents and results of pair rows."""
    return {
        "query_id": "q1",
        "query": PAIR["query"],
        "documents": [
            {"doc_id": row["doc_id"], "title": row["title"], "text": row["document"]}
            for row in pairs
        ],
        "results": [
            {"index": index, "doc_id": row["doc_id"], **result_of(row)}
            for index, row in enumerate(pairs)
        ],
        "model": "hf:some",
    }


def test_both_shapes_give_the_same_lines(tmp_path: Path) -> None:
    wide = wide_row([PAIR, NO])
    assert shown(tmp_path, [wide])[1] == shown(tmp_path, [PAIR, NO])[1]


def test_a_yes_without_evidence_has_the_reason(tmp_path: Path) -> None:
    def note(**fields: object) -> str:
        left_out = PAIR | dict.fromkeys(("predicted_contribution", "predicted_evidence")) | fields
        return " ".join(shown(tmp_path, [left_out])[1].split())

    repeats = note(format_ok=None, evidence_omitted="repeats", repeats="d7")
    assert "note no evidence: it says nothing beyond that of d7" in repeats
    assert "text The office is in the tower." in repeats
    assert "not among the best of --evidence-top" in note(evidence_omitted="evidence_top")
    assert "do not fit in --max-evidence-tokens" in note(evidence_omitted="max_evidence_tokens")
    unusable = note(format_ok=False, evidence_omitted=None, evidence_origin=None)
    assert "no usable evidence" in unusable
    assert "no usable evidence" not in repeats


def test_evidence_of_a_no_is_shown_too(tmp_path: Path) -> None:
    texts = {"predicted_contribution": "It is of dogs.", "predicted_evidence": "Dogs."}
    text = " ".join(shown(tmp_path, [NO | texts])[1].split())
    assert "contribution It is of dogs. evidence Dogs." in text


def test_a_long_document_judged_no_is_shown_by_its_best_window(tmp_path: Path) -> None:
    start = DOCUMENT.index("Tickets")
    fields = {"document": DOCUMENT, "windows": 2, "best_window": [start, len(DOCUMENT)]}
    text = " ".join(shown(tmp_path, [NO | fields])[1].split())
    assert "text …Tickets are sold on the pier. Nobody answers on Sundays. note" in text
    assert "note read in 2 windows; the best: characters 78 to 134" in text
    unnamed = {
        name: value for name, value in (NO | fields).items() if name not in ("doc_id", "title")
    }
    assert "text …Tickets are sold" in " ".join(shown(tmp_path, [unnamed])[1].split())
    changed = " ".join(shown(tmp_path, [NO | fields | {"document": "Short."}])[1].split())
    assert "text Short. note" in changed


@pytest.mark.parametrize("plain", [True, False], ids=["NO_COLOR", "colour"])
def test_a_terminal_without_colour_gets_signs(
    tmp_path: Path, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    text = shown(tmp_path, [PAIR])[1]
    assert ("⟦It opens at 9:00" in text) is plain
    assert ("\x1b[30;103m" in text) is not plain


def test_chinese_text_begins_on_the_line_of_its_ellipsis(tmp_path: Path) -> None:
    document = "狐狸住在河边。" * 20
    fields = {"document": document, "windows": 2, "best_window": [70, len(document)]}
    assert "…狐狸住在河边。" in shown(tmp_path, [NO | fields])[1]


def test_first_query_by_default_others_by_id(tmp_path: Path) -> None:
    other = PAIR | {"query_id": "q2", "query": "Who sells tickets?"}
    rows = [PAIR, other, NO]
    assert "Who sells" not in shown(tmp_path, rows)[1]
    assert "When does" not in shown(tmp_path, rows, "--query-id", "q2")[1]
    both = shown(tmp_path, rows, "--queries", "2")[1]
    assert both.index("When does") < both.index("Who sells")


def test_rows_of_an_older_version_are_shown_without_sources(tmp_path: Path) -> None:
    new = ("predicted_citations", "unsupported", "evidence_origin")
    old = {name: value for name, value in PAIR.items() if name not in new}
    code, text, _ = shown(tmp_path, [old])
    assert code == 0
    assert EVIDENCE.split()[-1] in text
    assert "⟦" not in text


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"query": "q", "document": "d"}, (), "a result of prism rerank, found no such field"),
        ({"query": "q", "documents": ["d"]}, (), "expected the array that prism rerank writes"),
        (PAIR, ("--query-id", "q9"), "--query-id q9: no row of"),
    ],
)
def test_other_rows_are_refused(
    tmp_path: Path, row: dict[str, Any], options: tuple[str, ...], message: str
) -> None:
    code, _, error = shown(tmp_path, [row], *options)
    assert code != 0
    assert message in str(error)


def test_citations_outside_a_changed_document_are_left_out(tmp_path: Path) -> None:
    code, text, _ = shown(tmp_path, [PAIR | {"document": "Short now."}])
    assert code == 0
    assert "Short now" not in text


def test_control_characters_of_a_document_are_escaped_in_place(tmp_path: Path) -> None:
    document = DOCUMENT.replace("Saturdays", "Sat\x1burdays")
    text = shown(tmp_path, [PAIR | {"document": document}])[1]
    assert "Sat⟨U+001B⟩urday⟧s" in "".join(text.split())


CITATION = PAIR["predicted_citations"][0]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"predicted_citations": "x"}, "predicted_citations"),
        ({"predicted_citations": [{}]}, "predicted_citations"),
        ({"predicted_citations": [CITATION | {"source_end": 1.5}]}, "predicted_citations"),
        ({"unsupported": [3, 4]}, "unsupported"),
        ({"unsupported": [[1, None]]}, "unsupported"),
        ({"predicted_evidence": ["a"]}, "predicted_evidence"),
        ({"evidence_origin": ["a"]}, "evidence_origin"),
        ({"evidence_omitted": "repeats", "repeats": 5}, "repeats"),
        ({"windows": 3}, "best_window"),
        ({"windows": 3, "best_window": [1]}, "best_window"),
        ({"model": 5}, "model"),
    ],
)
def test_fields_of_another_type_are_refused(
    tmp_path: Path, fields: dict[str, Any], name: str
) -> None:
    _, _, error = shown(tmp_path, [PAIR | fields])
    assert isinstance(error, UsageError)
    assert f"reranked.jsonl:1: {name}: expected" in str(error)


def test_unsupported_ranges_of_another_text_are_left_out(tmp_path: Path) -> None:
    ranges = [[34, 39], [30, 36], [9, 3], [-5, 3], [30, 900]]
    text = shown(tmp_path, [PAIR | {"unsupported": ranges}])[1]
    assert "⟨?and glows⟩." in " ".join(text.split())


def test_row_without_a_contribution_is_shown(tmp_path: Path) -> None:
    row = {name: value for name, value in PAIR.items() if name != "predicted_contribution"}
    code, text, _ = shown(tmp_path, [row])
    assert code == 0
    assert "glows" in text


def test_control_characters_of_the_model_are_escaped(tmp_path: Path) -> None:
    text = shown(tmp_path, [PAIR | {"model": "a\x1b[31m"}])[1]
    assert "\x1b" not in text


@pytest.mark.parametrize(("score", "bar"), [(0, "░" * 10), (0.449, "████░░░░░░"), (1, "█" * 10)])
def test_score_bar(score: float, bar: str) -> None:
    assert score_bar(score) == bar
