"""Figures of answers against values computed by hand."""

from typing import Any

import pytest

from prism_cli.evaluation.answers.figures import AnswersFigures
from prism_cli.reporting.answers import figure_warnings, page


def row(number: int, contexts: dict[str, Any], *, answerable: bool = True) -> dict[str, Any]:
    return {
        "query_id": f"q{number}",
        "query": f"query {number}",
        "evidence": "text",
        "answers": {
            "answerable": answerable,
            "gold": ["g"] if answerable else [],
            "candidates": 1,
            "documents": ["d"],
            "contexts": contexts,
        },
    }


def answer(f1: float, tokens: int, **more: Any) -> dict[str, Any]:
    return {
        "reply": "r" if f1 else "",
        "f1": f1,
        "exact_match": float(f1 == 1),
        "contained": float(f1 > 0),
        "no_answer": not f1,
        "tokens_read": tokens,
        "tokens_written": 2,
        **more,
    }


def test_means_tests_and_losses() -> None:
    figures = AnswersFigures(0)
    f1 = [(1.0, 1.0), (1.0, 0.5), (0.4, 0.0), (0.0, 0.0)]
    for number, (documents, evidence) in enumerate(f1):
        contexts = {"documents": answer(documents, 100), "evidence": answer(evidence, 10)}
        figures.add(row(number, contexts))
    none = {"reply": "", "no_answer": True, "tokens_read": 0, "tokens_written": 0, "asked": False}
    wrong = {"reply": "5", "no_answer": False, "tokens_read": 50, "tokens_written": 1, "cut": True}
    figures.add(row(4, {"documents": wrong, "evidence": none}, answerable=False))
    content = figures.content()
    documents, evidence = content["answers"]["documents"], content["answers"]["evidence"]
    assert documents["f1"] == pytest.approx(2.4 / 4)
    assert evidence["f1"] == pytest.approx(1.5 / 4)
    assert (evidence["exact_match"], evidence["contained"]) == (0.25, 0.5)
    assert (evidence["no_answer_rate"], evidence["no_answer_accuracy"]) == (0.5, 1)
    assert documents["no_answer_accuracy"] == 0
    assert (documents["tokens_read"], evidence["tokens_read"]) == (90, 8)
    assert (documents["usd"], documents["cut"], evidence["without_text"]) == (None, 1, 1)
    (test,) = content["statistics"]["tests"]
    assert (test["context"], test["against"]) == ("evidence", "documents")
    assert test["difference"] == pytest.approx(-0.9 / 4)
    assert (test["win"], test["tie"], test["loss"]) == (0, 2, 2)
    assert test["p"] == pytest.approx(0.5)  # 2 of the 4 flips of two differences of one sign
    assert test["interval"][0] <= test["difference"] <= test["interval"][1]
    assert [example["query_id"] for example in content["examples"]["lost"]] == ["q1", "q2"]
    assert content["queries"] == {
        "all": 5, "answerable": 4, "unanswerable": 1, "without_documents": 0,
    }  # fmt: skip
    assert content["statistics"]["counts"]["evidence.f1"] == 4


@pytest.mark.parametrize(
    ("documents", "nothing", "warned"),
    [
        ([1.0] * 8, [0.0] * 8, ""),
        ([1.0] * 4, [0.0] * 4, "too few queries to tell the documents from nothing"),
        (
            [0.9] * 8,
            [1.0] * 8,
            "answers poorly from the documents: over 8 queries",
        ),
        ([0.2] * 8, [0.0] * 8, "over 8 queries whose documents were read"),
        ([0.2] * 8, [], "F1 from the documents is 0.200. Such a reader"),
    ],
    ids=["good", "few", "no better than nothing", "weak", "weak, nothing not asked"],
)
def test_a_reader_that_cannot_use_documents_is_warned_of(
    documents: list[float], nothing: list[float], warned: str
) -> None:
    figures = AnswersFigures(0)
    for number, f1 in enumerate(documents):
        contexts = {"documents": answer(f1, 100)}
        if nothing:
            contexts["nothing"] = answer(nothing[number], 0)
        figures.add(row(number, contexts))
    unread = {"documents": answer(0, 0, asked=False)}
    figures.add(row(99, unread | ({"nothing": answer(1, 0)} if nothing else {})))
    warnings = figure_warnings(figures.content())
    assert len(warnings) == bool(warned)
    assert warned in "".join(warnings)


def test_queries_whose_documents_are_not_read_are_warned_of() -> None:
    figures = AnswersFigures(0)
    for number in range(3):
        figures.add(row(number, {"documents": answer(0, 0, asked=False)}))
    for number in range(3, 99):  # no yes is right here
        none = {"documents": {**answer(0, 0, asked=False), "no_answer": True}}
        figures.add(row(number, none, answerable=False))
    (warning,) = figure_warnings(figures.content())
    assert "3 of 3 queries with an answer have no document with the verdict yes" in warning
    assert "--verdict any" in warning


def test_a_figure_without_an_interval_stands_alone_on_the_page() -> None:
    figures = AnswersFigures(0)
    figures.add(row(0, {"evidence": answer(0.5, 10)}))
    reader = {"spec": "lab/r", "labelled_rows": None}
    counts: dict[str, Any] = {"input_rows": {}, "gold": {"rows": 1}, "provenance": {}}
    found = page(figures.content() | {"reader": reader} | counts)
    assert found.highlights == (("F1 from evidence", "0.500", ""),)
