"""Data sets of sentence-transformers: exactly the expected columns."""

from typing import Any

import pytest

from prism_cli.adapters.shapes.base import ShapeSettings, Writer
from prism_cli.adapters.shapes.sentence_transformers import (
    PairWriter,
    ScoredReader,
    ScoredWriter,
    TripletReader,
    TripletWriter,
)
from prism_cli.errors import RowError

Row = dict[str, Any]


def pair(document: str, label: str, **more: Any) -> Row:
    return {"query": "q", "document": document, "source_label": label, **more}


GROUP = [pair("p", "1", evidence="e"), pair("n1", "0"), pair("n2", "0"), pair("n3", "0")]


def triplets(negatives: int, rows: list[Row] = GROUP) -> tuple[list[Row], Writer]:
    writer = TripletWriter(ShapeSettings(negatives=negatives))
    assert not any(writer.check(row) for row in rows)
    return writer.write(rows), writer


def test_the_positive_is_paired_with_each_negative() -> None:
    triplets_out, writer = triplets(1)
    assert triplets_out == [
        {"anchor": "q", "positive": "p", "negative": name} for name in ("n1", "n2", "n3")
    ]
    assert writer.left_out == {"evidence": 1}


def test_rows_of_many_negatives_have_the_same_columns() -> None:
    triplets_out, _ = triplets(2)
    assert triplets_out == [
        {"anchor": "q", "positive": "p", "negative_1": "n1", "negative_2": "n2"},
        {"anchor": "q", "positive": "p", "negative_1": "n3", "negative_2": "n1"},
    ]


@pytest.mark.parametrize(
    ("negatives", "rows", "message"),
    [
        (4, GROUP, "queries without 4 negatives, left out"),
        (1, GROUP[1:], "queries without a positive, left out"),
    ],
)
def test_query_that_cannot_fill_a_row_is_counted(
    negatives: int, rows: list[Row], message: str
) -> None:
    output, writer = triplets(negatives, rows)
    assert (output, writer.figures) == ([], {message: 1})


def test_triplet_is_read_by_the_number_of_its_negatives() -> None:
    row = {"negative_10": "c", "positive": "p", "negative_2": "b", "anchor": "q", "lang": "en"}
    rows = TripletReader().read(row | {"negative_11": None})
    assert [(pair_row["document"], pair_row["source_label"]) for pair_row in rows] == [
        ("p", "1"),
        ("b", "0"),
        ("c", "0"),
    ]
    assert {(pair_row["query"], pair_row["lang"], len(pair_row)) for pair_row in rows} == {
        ("q", "en", 6)
    }


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"positive": "p"}, "anchor"),
        ({"anchor": "q", "query": "q", "positive": "p"}, "query"),
        ({"anchor": "q"}, "positive"),
        ({"anchor": " ", "positive": "p"}, "anchor"),
        ({"query": "q", "positive": "p", "negative_1": ["n"]}, "negative_1"),
    ],
)
def test_bad_triplet_names_its_column(row: Row, field: str) -> None:
    with pytest.raises(RowError) as caught:
        TripletReader().read(row)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("column", "value", "field", "expected"),
    [
        ("label", 1, "source_label", "1"),
        ("label", True, "source_label", "1"),
        ("label", "2", "source_label", "2"),
        ("label", 0.25, "source_score", 0.25),
        ("score", 4, "source_score", 4),
    ],
)
def test_integer_is_a_label_and_float_a_score(
    column: str, value: Any, field: str, expected: Any
) -> None:
    rows = ScoredReader(ShapeSettings()).read({"sentence1": "q", "sentence2": "d", column: value})
    assert rows["query"] == "q"
    assert rows["document"] == "d"
    assert rows[field] == expected


def test_score_may_be_a_teachers() -> None:
    reader = ScoredReader(ShapeSettings(score="teacher_scores.x"))
    result = reader.read({"query": "q", "document": "d", "score": 0.5})
    assert result["teacher_scores"] == {"x": 0.5}
    with pytest.raises(RowError, match=r"score: expected a number in \[0, 1\], found 4"):
        reader.read({"query": "q", "document": "d", "score": 4})


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"query": "q", "document": "d"}, "label"),
        ({"query": "q", "document": "d", "label": 1, "score": 1}, "score"),
        ({"query": "q", "document": "d", "label": None}, "label"),
        ({"query": "q", "sentence2": "d", "document": "d", "label": 1}, "document"),
        ({"query": "q", "document": 3, "label": 1}, "document"),
    ],
)
def test_bad_labelled_pair_names_its_column(row: Row, field: str) -> None:
    with pytest.raises(RowError) as caught:
        ScoredReader(ShapeSettings()).read(row)
    assert caught.value.field == field


def test_label_or_score_is_written_beside_the_texts() -> None:
    row = pair("d", "0", title="T", teacher_score=0.4)
    writer = ScoredWriter(ShapeSettings())
    assert writer.write([row]) == [{"sentence1": "q", "sentence2": "T d", "label": 0}]
    assert writer.left_out == {"teacher_score": 1}
    writer = ScoredWriter(ShapeSettings(score="teacher_score"))
    assert writer.write([row]) == [{"sentence1": "q", "sentence2": "T d", "score": 0.4}]
    assert writer.left_out == {"source_label": 1}
    assert writer.check(pair("d", "1")) == "no teacher_score"


def test_only_positives_become_pairs() -> None:
    writer = PairWriter(ShapeSettings())
    assert [writer.check(row) for row in GROUP[:2]] == [None, "negative"]
    assert writer.check({"query": "q", "document": "d"}) == "no label and no verdict"
    assert writer.write(GROUP[:1]) == [{"anchor": "q", "positive": "p"}]
