"""Origin of the measured texts, and rows without texts."""

from typing import Any

import pytest

from prism_cli.errors import RowError
from prism_cli.rows.verdict_texts import VerdictTexts, check_verdict_texts, read_verdict_texts
from tests.factories import make_pair

PREDICTED = {
    "score": 0.9,
    "predicted_verdict": "yes",
    "predicted_contribution": "It says so.",
    "predicted_evidence": " Item 0 is a thing. ",
    "format_ok": True,
}
LABELLED = {"verdict": "no", "contribution": "A label.", "evidence": "Labelled."}


def read(source: str = "auto", **fields: Any) -> VerdictTexts:
    return read_verdict_texts(make_pair(**fields), source)


@pytest.mark.parametrize(("name", "value"), [("rank", "2"), ("rank", 1.5), ("fused_score", "0.5")])
def test_fields_that_order_documents_have_their_type(name: str, value: object) -> None:
    with pytest.raises(RowError, match=name):
        check_verdict_texts(make_pair(**PREDICTED, **{name: value}), "auto")


def test_labelled_rows_may_have_a_rank_of_their_own() -> None:
    check_verdict_texts(make_pair(**LABELLED, rank="first"), "auto")


def test_predictions_take_precedence_over_labels() -> None:
    result = read(**PREDICTED, **LABELLED, title="Title")
    assert result.predicted
    assert (result.verdict, result.label, result.score) == ("yes", "no", 0.9)
    assert (result.contribution, result.evidence) == ("It says so.", "Item 0 is a thing.")
    assert (result.asked, result.format_ok) == (True, True)
    assert result.document == f"Title {result.body}"


def test_labels_are_read_if_requested_or_without_predictions() -> None:
    for result in (
        read("labels", **PREDICTED | LABELLED | {"verdict": "yes"}),
        read(**LABELLED | {"verdict": "yes"}),
    ):
        assert not result.predicted
        assert (result.verdict, result.label) == ("yes", None)
        assert (result.evidence, result.format_ok) == ("Labelled.", True)


@pytest.mark.parametrize(
    ("fields", "evidence_asked", "format_ok"),
    [
        ({"predicted_verdict": "yes"}, False, None),  # rerank --no-evidence
        ({"predicted_verdict": "yes", "format_ok": False, "predicted_evidence": "x"}, True, False),
        ({"predicted_verdict": "yes", "predicted_evidence": "x"}, True, False),
        ({"predicted_verdict": "no", "format_ok": None, "predicted_evidence": None}, True, None),
        ({"verdict": "yes", "generator": "g", "generation_error": "refused"}, True, False),
        ({"verdict": "yes"}, False, None),
    ],
)
def test_rows_with_requested_texts_are_recognized(
    fields: dict[str, Any], evidence_asked: bool, format_ok: bool | None
) -> None:
    result = read_verdict_texts({**make_pair(), **fields})
    assert (result.asked, result.format_ok) == (evidence_asked, format_ok)


def test_a_text_without_a_verdict_is_a_yes_and_a_no_has_no_text() -> None:
    assert read(evidence="x").verdict == "yes"
    assert read(predicted_evidence="x").verdict == "yes"
    assert read(**PREDICTED | {"predicted_verdict": "no"}).evidence == ""
    assert read_verdict_texts({**make_pair(), "verdict": None}).verdict is None


@pytest.mark.parametrize(
    ("source", "fields", "field", "reason"),
    [
        ("auto", {}, "predicted_verdict", "prism rerank writes it"),
        ("predicted", LABELLED, "predicted_verdict", "no such field"),
        ("labels", PREDICTED, "verdict", "prism relabel writes it"),
        ("auto", {"predicted_verdict": "maybe"}, "predicted_verdict", "'maybe'"),
        ("auto", {"verdict": 1, **PREDICTED}, "verdict", "number 1"),
        ("auto", PREDICTED | {"predicted_evidence": ["x"]}, "predicted_evidence", "array"),
        ("auto", PREDICTED | {"format_ok": "yes"}, "format_ok", "string 'yes'"),
        ("auto", PREDICTED | {"score": 1.5}, "score", "1.5"),
    ],
)
def test_rows_that_cannot_be_read(
    source: str, fields: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(RowError, match=reason) as raised:
        read(source, **fields)
    assert raised.value.field == field
