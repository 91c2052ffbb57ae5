"""{query, pos, neg} rows: KaLM's and FlagEmbedding's."""

import time
from typing import Any

import pytest

from prism_cli.adapters.shapes.base import ShapeSettings
from prism_cli.adapters.shapes.flagembedding import FlagEmbeddingReader, FlagEmbeddingWriter
from prism_cli.errors import RowError

Row = dict[str, Any]
TEACHER = ShapeSettings(score="teacher_scores.lab/model-2.5")


def read(row: Row, settings: ShapeSettings | None = None) -> list[Row]:
    return FlagEmbeddingReader(settings or ShapeSettings()).read(row)


def written(
    rows: list[Row], settings: ShapeSettings | None = None
) -> tuple[list[Row], FlagEmbeddingWriter]:
    writer = FlagEmbeddingWriter(settings or ShapeSettings())
    assert [writer.check(row) for row in rows] == [None] * len(rows)
    return writer.write(rows), writer


def pair(document: str, label: str, **more: Any) -> Row:
    return {"query": "q", "document": document, "source_label": label, **more}


@pytest.mark.parametrize(
    "query",
    [
        "Instruct: find facts \n Query: who?",
        "Instruct: find facts\nQuery: who?",
        "\n Instruct:find facts\r\n\r\n\tQuery:\nwho?\n",
        ["find facts", "who?"],
    ],
)
def test_instruction_is_taken_from_the_query(query: Any) -> None:
    (row,) = read({"query": query, "pos": ["a"]})
    assert (row["query"], row["instruction"]) == ("who?", "find facts")


@pytest.mark.parametrize("query", ["who?", ["who?"], ["", "who?"], "Instruct: who?"])
def test_query_without_an_instruction_has_none(query: Any) -> None:
    (row,) = read({"query": query, "pos": ["a"]})
    assert "instruction" not in row
    assert row["query"].endswith("who?")


@pytest.mark.parametrize("blank", [" ", "\n", " \n", "\r\n"])
def test_a_long_run_of_blanks_takes_no_time(blank: str) -> None:
    began = time.process_time()
    (row,) = read({"query": "Instruct: who?" + blank * 50_000 + "x", "pos": ["a"]})
    assert "instruction" not in row
    assert time.process_time() - began < 2


def test_unknown_fields_are_copied_to_every_pair() -> None:
    rows = read({"query": "q", "pos": ["a"], "neg": ["b"], "prompt": "p", "type": "normal"})
    assert [(row["prompt"], row["type"]) for row in rows] == [("p", "normal")] * 2


def test_scores_are_the_sources_or_a_teachers() -> None:
    row = {"query": "q", "pos": ["a"], "neg": ["b"], "pos_scores": [1], "neg_scores": [None]}
    assert [result.get("source_score") for result in read(row)] == [1, None]
    first, second = read(row, TEACHER)
    assert first["teacher_scores"] == {"lab/model-2.5": 1}
    assert "teacher_scores" not in second
    assert "source_score" not in first


@pytest.mark.parametrize(
    ("change", "settings", "field"),
    [
        ({"query": ["a", "b", "c"]}, None, "query"),
        ({"query": ["a", 3]}, None, "query"),
        ({"query": []}, None, "query"),
        ({"neg_scores": [0.1]}, None, "neg_scores"),
        ({"pos_scores": ["high"]}, None, "pos_scores[0]"),
        ({"pos_scores": [12.5]}, TEACHER, "pos_scores[0]"),
        ({"pos_scores": [-0.1]}, ShapeSettings(score="teacher_score"), "pos_scores[0]"),
    ],
)
def test_bad_row_names_its_field(change: Row, settings: ShapeSettings | None, field: str) -> None:
    with pytest.raises(RowError) as caught:
        read({"query": "q", "pos": ["a"], "neg": ["b", "c"]} | change, settings)
    assert caught.value.field == field


def test_a_row_of_another_shape_is_reported() -> None:
    with pytest.raises(RowError, match="pos: expected pos and neg"):
        read({"query": "q", "document": "d"})


def test_rows_of_a_query_become_one_row() -> None:
    rows = [
        pair("no", "0", query_id="1", source="s", source_score=0.1, doc_id="n"),
        pair("yes", "1", query_id="1", source="s", source_score=0.9),
    ]
    lines, writer = written(rows)
    assert lines == [
        {
            "query": "q",
            "pos": ["yes"],
            "neg": ["no"],
            "pos_scores": [0.9],
            "neg_scores": [0.1],
            "pos_id": [None],
            "neg_id": ["n"],
            "query_id": "1",
            "source": "s",
        }
    ]
    assert not writer.left_out


def test_fields_without_a_place_are_counted() -> None:
    rows = [
        pair("yes", "2", title="T", evidence="e", lang="en", source_score=1.0),
        pair("no", "0", lang="de", negative="bm25"),
    ]
    (line,), writer = written(rows)
    assert line == {"query": "q", "pos": ["T yes"], "neg": ["no"]}
    assert writer.left_out == {
        "evidence": 1,
        "lang": 2,
        "negative": 1,
        "source_score": 1,
        "source_label, beyond yes and no": 1,
    }
    assert writer.figures == {"titles put before their documents": 1}


def test_the_verdict_takes_precedence_over_the_label() -> None:
    (line,), _ = written([pair("a", "0", verdict="yes"), pair("b", "1", verdict="no")])
    assert (line["pos"], line["neg"]) == (["a"], ["b"])


def test_query_without_a_positive_is_left_out_and_counted() -> None:
    lines, writer = written([pair("b", "0")])
    assert lines == []
    assert writer.figures == {"queries without a positive, left out": 1}


def test_field_named_like_a_list_does_not_replace_it() -> None:
    (line,), writer = written([pair("a", "1", neg="mine", pos_scores=[3])])
    assert (line["neg"], "pos_scores" in line) == ([], False)
    assert writer.left_out == {"neg": 1, "pos_scores": 1}


def test_the_positive_grade_is_a_setting() -> None:
    (line,), _ = written([pair("a", "2"), pair("b", "1")], ShapeSettings(positive_grade=2))
    assert (line["pos"], line["neg"]) == (["a"], ["b"])


def test_a_row_without_a_label_is_dropped() -> None:
    writer = FlagEmbeddingWriter(ShapeSettings())
    assert writer.check({"query": "q", "document": "d"}) == "no label and no verdict"
    with pytest.raises(RowError, match="source_label"):
        writer.check(pair("d", "perhaps"))
