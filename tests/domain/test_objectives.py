"""The table of objectives, line by line, and objectives that a row selects."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.objectives import TrainingLabels, training_labels
from prism_cli.errors import RowError
from prism_cli.rows.row import Dropped

TEXT_CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
TEXT = {"contribution": "It says so.", "evidence": "So it is."}


def objectives(**labels: Any) -> list[str] | str:
    """Return the objectives of a row, or the reason why it is dropped."""
    result = training_labels({"query": "q", "document": "d", **labels})
    if isinstance(result, Dropped):
        return result.reason
    return [name for name in ("pointwise", "sft") if getattr(result, name)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(
            {"teacher_score": 0.51, "verdict": "yes", **TEXT},
            ["pointwise", "sft"],
            id="both say yes",
        ),
        pytest.param(
            {"teacher_score": 0.49, "verdict": "no"}, ["pointwise", "sft"], id="both say no"
        ),
        pytest.param(
            {"teacher_score": 0.5, "verdict": "no"}, ["pointwise", "sft"], id="the boundary is no"
        ),
        pytest.param(
            {"teacher_score": 0.5, "verdict": "yes", **TEXT}, ["sft"], id="the boundary is not yes"
        ),
        pytest.param({"teacher_score": 0.9, "verdict": "no"}, ["sft"], id="score yes, verdict no"),
        pytest.param(
            {"teacher_score": 0.1, "verdict": "yes", **TEXT}, ["sft"], id="score no, verdict yes"
        ),
        pytest.param({"verdict": "no"}, ["sft"], id="no score, no"),
        pytest.param({"verdict": "yes", **TEXT}, ["sft"], id="no score, yes"),
        pytest.param({"teacher_score": None, "verdict": "no"}, ["sft"], id="score null"),
        pytest.param({"teacher_score": 0.7}, ["pointwise"], id="no verdict"),
        pytest.param({"teacher_score": 0.7, "verdict": None}, ["pointwise"], id="verdict null"),
        pytest.param({"teacher_score": 0}, ["pointwise"], id="an integer score"),
        pytest.param(
            {"teacher_score": 0.9, "verdict": "yes"}, ["pointwise"], id="yes without texts"
        ),
        pytest.param(
            {"teacher_score": 0.1, "verdict": "yes"},
            ["pointwise"],
            id="disagreeing yes without texts",
        ),
        pytest.param(
            {"teacher_score": 0.9, "verdict": "yes", "evidence": "e"},
            ["pointwise"],
            id="one text of two",
        ),
        pytest.param(
            {"teacher_score": 0.9, "verdict": "yes", **TEXT, "contribution": " \n"},
            ["pointwise"],
            id="a blank text",
        ),
        pytest.param(
            {"teacher_score": 0.9, "verdict": "yes", **TEXT, "contribution": "\u200b"},
            ["pointwise"],
            id="a text that cannot be seen",
        ),
        pytest.param(
            {"teacher_score": 0.9, "verdict": "yes", **TEXT, "evidence": "No;"},
            ["pointwise"],
            id="evidence that says nothing, with a score",
        ),
        pytest.param(
            {"verdict": "yes", **TEXT, "evidence": "N/A"},
            "yes with evidence that says nothing",
            id="evidence that says nothing",
        ),
        pytest.param(
            {"verdict": "yes", **TEXT, "contribution": "None."},
            "yes with a contribution that says nothing",
            id="a contribution that says nothing",
        ),
        pytest.param(
            {"verdict": "yes", "teacher_score": 0.9, **TEXT, "document": " \u200b"},
            "yes on a blank document",
            id="yes on a blank document",
        ),
        pytest.param(
            {"teacher_score": 0.9, "document": ""},
            "yes on a blank document",
            id="a high score on a blank document",
        ),
        pytest.param(
            {"verdict": "no", "teacher_score": 0.1, "document": ""},
            ["pointwise", "sft"],
            id="no on a blank document",
        ),
        pytest.param(
            {"verdict": "yes", **TEXT, "document": "", "title": "Its title"},
            ["sft"],
            id="a title without a document",
        ),
        pytest.param(
            {"verdict": "yes"}, "yes without contribution and evidence", id="unusable yes"
        ),
        pytest.param({}, "no score and no verdict", id="no label"),
        pytest.param({"verdict": None, **TEXT}, "no score and no verdict", id="texts alone"),
    ],
)
def test_the_table_of_objectives(labels: dict[str, Any], expected: list[str] | str) -> None:
    assert objectives(**labels) == expected


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (["pointwise"], ["pointwise"]),
        (["sft"], ["sft"]),
        (["sft", "pointwise"], ["pointwise", "sft"]),
        (["sft", "sft"], ["sft"]),
        ([], "objectives is an empty list"),
        (None, ["sft"]),
    ],
)
def test_a_row_may_choose_among_its_possible_objectives(
    chosen: list[str] | None, expected: list[str] | str
) -> None:
    assert objectives(objectives=chosen, teacher_score=0.9, verdict="no") == expected


@pytest.mark.parametrize(
    ("labels", "field", "reason"),
    [
        ({"objectives": ["sft"], "teacher_score": 0.4}, "objectives", "sft needs a verdict"),
        ({"objectives": ["sft"], "verdict": "yes"}, "objectives", "sft needs a verdict"),
        (
            {"objectives": ["sft"], "verdict": "yes", **TEXT, "evidence": "No;"},
            "objectives",
            "sft needs a verdict",
        ),
        ({"objectives": ["pointwise"], "verdict": "no"}, "objectives", "needs teacher_score"),
        ({"objectives": "sft", "verdict": "no"}, "objectives", "found string 'sft'"),
        ({"objectives": ["SFT"], "verdict": "no"}, "objectives", "found ['SFT']"),
        ({"objectives": [["sft"]], "verdict": "no"}, "objectives", "expected a list"),
        ({"objectives": {"sft": 1}, "verdict": "no"}, "objectives", "found object"),
        ({"teacher_score": "0.4"}, "teacher_score", "expected a number, found string"),
        ({"teacher_score": True}, "teacher_score", "found boolean"),
        ({"teacher_score": 1.01}, "teacher_score", "[0, 1]"),
        ({"teacher_score": -0.1}, "teacher_score", "[0, 1]"),
        ({"verdict": "maybe"}, "verdict", "found string 'maybe'"),
        ({"verdict": True}, "verdict", "found boolean"),
        ({"verdict": ["yes"]}, "verdict", "found array"),
        ({"verdict": "yes", "contribution": 3, "evidence": "e"}, "contribution", "found number 3"),
        ({"verdict": "yes", "contribution": "c", "evidence": []}, "evidence", "found array"),
    ],
)
def test_impossible_labels_are_rejected_with_their_field(
    labels: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(RowError) as caught:
        objectives(**labels)
    assert caught.value.field == field
    assert reason in caught.value.reason


def test_a_long_invalid_list_is_abbreviated() -> None:
    with pytest.raises(RowError) as caught:
        objectives(objectives=["x" * 10_000], verdict="no")
    assert len(caught.value.reason) < 200


def test_texts_are_stripped() -> None:
    result = training_labels({"verdict": "yes", "contribution": " c\n", "evidence": "\te "})
    assert isinstance(result, TrainingLabels)
    assert (result.contribution, result.evidence) == ("c", "e")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "teacher_score": st.none() | st.floats(0, 1),
            "verdict": st.sampled_from(["yes", "no", None]),
            "contribution": st.none() | st.text(TEXT_CHARACTERS, max_size=3),
            "evidence": st.none() | st.text(TEXT_CHARACTERS, max_size=3),
        },
    )
)
def test_a_training_target_has_the_fields_of_its_objectives(labels: dict[str, Any]) -> None:
    result = training_labels(labels)
    if isinstance(result, Dropped):
        assert result.reason
        assert labels.get("teacher_score") is None
        return
    assert result.pointwise or result.sft
    if result.pointwise:
        assert result.teacher_score is not None
    if result.sft:
        assert result.verdict == "no" or (result.contribution and result.evidence)
