"""The author's rows: renamed fields, and values in all accepted spellings."""

from typing import Any

import pytest

from prism_cli.adapters.shapes.author import AuthorReader, AuthorWriter
from prism_cli.adapters.shapes.base import Reader, ShapeSettings
from prism_cli.errors import RowError
from prism_cli.stages.convert import ConvertStage

Row = dict[str, Any]


def written(row: Row) -> Row:
    writer = AuthorWriter(ShapeSettings())
    assert writer.check(row) is None
    (output,) = writer.write([row])
    return output


def test_fields_are_renamed_in_place_and_others_are_kept() -> None:
    row = {
        "query": "q",
        "document": "d",
        "loss_type": "sft",
        "revised_score": 0.75,
        "annotated_label": "yes",
        "contribution": "c",
        "evidence": "e",
        "lang": ["en"],
    }
    result = AuthorReader().read(dict(row))
    assert list(result.items()) == [
        ("query", "q"),
        ("document", "d"),
        ("objectives", ["sft"]),
        ("teacher_score", 0.75),
        ("verdict", "yes"),
        ("contribution", "c"),
        ("evidence", "e"),
        ("lang", ["en"]),
    ]
    assert list(written(result).items()) == list(row.items())


@pytest.mark.parametrize(
    ("loss_type", "objectives", "canonical"),
    [
        ("sft", ["sft"], "sft"),
        ("SFT", ["sft"], "sft"),
        ("point-wise", ["pointwise"], "point-wise"),
        ("pointwise", ["pointwise"], "point-wise"),
        ("point_wise", ["pointwise"], "point-wise"),
        ("hybrid", ["pointwise", "sft"], "point-wise+sft"),
        ("sft,point-wise", ["sft", "pointwise"], "sft+point-wise"),
        (["Point-Wise", "sft"], ["pointwise", "sft"], "point-wise+sft"),
        ([], [], ""),
        (None, None, None),
    ],
)
def test_loss_types_in_many_spellings_are_written_in_one(
    loss_type: Any, objectives: Any, canonical: Any
) -> None:
    result = AuthorReader().read({"query": "q", "document": "d", "loss_type": loss_type})
    assert result["objectives"] == objectives
    rewritten = written(result)
    assert rewritten["loss_type"] == canonical
    assert AuthorReader().read(rewritten)["objectives"] == objectives


@pytest.mark.parametrize(
    ("label", "verdict"),
    [
        ("yes", "yes"),
        ("No", "no"),
        (True, "yes"),
        (0, "no"),
        ("1", "yes"),
        (None, None),
        ("", None),
    ],
)
def test_labels_become_verdicts(label: Any, verdict: Any) -> None:
    result = AuthorReader().read({"query": "q", "document": "d", "annotated_label": label})
    assert result["verdict"] == verdict


def test_title_goes_before_its_document() -> None:
    assert written({"query": "q", "title": "T", "document": "d"}) == {
        "query": "q",
        "document": "T d",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("revised_score", 1.5),
        ("revised_score", "high"),
        ("annotated_label", "perhaps"),
        ("annotated_label", ["yes"]),
        ("loss_type", "dpo"),
        ("loss_type", ["sft", 3]),
        ("loss_type", {"sft": 1}),
        ("loss_type", 1),
    ],
)
def test_an_unreadable_value_names_the_authors_field(field: str, value: Any) -> None:
    with pytest.raises(RowError) as caught:
        AuthorReader().read({"query": "q", "document": "d", field: value})
    assert caught.value.field == field


def test_both_names_of_one_field_are_refused() -> None:
    row = {"query": "q", "document": "d", "revised_score": 0.5, "teacher_score": 0.5}
    with pytest.raises(RowError, match="teacher_score: present together with 'revised_score'"):
        AuthorReader().read(dict(row))
    with pytest.raises(RowError, match="revised_score: present together with 'teacher_score'"):
        AuthorWriter(ShapeSettings()).check(row)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("verdict", "maybe"),
        ("teacher_score", 2),
        ("objectives", "sft"),
        ("objectives", ["rlhf"]),
        ("objectives", [["sft"]]),
    ],
)
def test_values_outside_the_row_contract_are_not_written(field: str, value: Any) -> None:
    row = {"query": "q", "document": "d", field: value}
    with pytest.raises(RowError) as caught:
        ConvertStage(Reader(), AuthorWriter(ShapeSettings())).work(row)
    assert caught.value.field == field


@pytest.mark.parametrize("loss_type", [7, "sft", ["sft"], {"a": 1}, None])
def test_a_row_with_the_authors_field_names_is_unchanged(loss_type: Any) -> None:
    row = {"query": "q", "document": "d", "loss_type": loss_type}
    assert written(row) == row
