"""Reading fields of a row, and the ids of rows without one."""

from hashlib import sha256

import pytest

from prism_cli.errors import RowError
from prism_cli.rows.candidates import check_rerank_row
from prism_cli.rows.row import (
    check_pair,
    doc_id,
    document_text,
    json_type,
    number_field,
    query_id,
    string_field,
)
from tests.factories import make_pair


def test_absent_ids_come_from_the_texts() -> None:
    row = make_pair(query_id=None, doc_id=None, query="now", document="d", original_query="before")
    assert query_id(row) == sha256(b"before").hexdigest()[:16]
    assert doc_id(row) == sha256(b"d").hexdigest()[:16]
    assert doc_id(row | {"title": "t"}) == sha256(b"t d").hexdigest()[:16]
    assert document_text(row | {"title": "t"}) == "t d"
    assert document_text(row | {"title": ""}) == "d"
    assert doc_id(row | {"title": "\u200b"}) == doc_id(row)
    assert query_id(row | {"original_query": " \u2060"}) == sha256(b"now").hexdigest()[:16]
    assert (query_id(make_pair(3)), doc_id(make_pair(3))) == ("q3", "d3")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"query": None}, "query"),
        ({"query": " \n"}, "query"),
        ({"query": "\u200b\u3164"}, "query"),
        ({"query": "\x01\ufeff"}, "query"),
        ({"query": ["a"]}, "query"),
        ({"document": None}, "document"),
        ({"document": 3}, "document"),
        ({"title": 3}, "title"),
        ({"query_id": 3}, "query_id"),
        ({"doc_id": {"a": 1}}, "doc_id"),
        ({"original_query": False}, "original_query"),
    ],
)
def test_a_pair_that_breaks_the_contract_is_named_by_field(
    changed: dict[str, object], field: str
) -> None:
    with pytest.raises(RowError) as caught:
        check_pair(make_pair(**changed))
    assert caught.value.field == field
    assert caught.value.reason.startswith("expected ")


@pytest.mark.parametrize(
    "field", ["query", "document", "title", "query_id", "doc_id", "original_query"]
)
def test_a_text_with_nul_is_named_by_field(field: str) -> None:
    with pytest.raises(RowError, match=f"{field}: a NUL character at offset 1"):
        check_pair(make_pair(**{field: "a\0b"}))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"query": "\u2060"}, "query: expected text, found a blank string"),
        ({"query": "a\0"}, "query: a NUL character at offset 1"),
        ({"query_id": "\0"}, "query_id: a NUL"),
        ({"original_query": "\0"}, "original_query: a NUL"),
        ({"documents": ["a", "\0"]}, r"documents\[1\]: a NUL character at offset 0"),
        ({"documents": [{"text": "a\0"}]}, r"documents\[0\]\.text: a NUL character at offset 1"),
        ({"documents": ["a", {"text": "a", "title": "\0"}]}, r"documents\[1\]\.title: a NUL"),
        ({"documents": [{"text": "a", "doc_id": "\0"}]}, r"documents\[0\]\.doc_id: a NUL"),
    ],
)
def test_texts_of_a_query_with_documents_are_named_by_path(
    changed: dict[str, object], message: str
) -> None:
    with pytest.raises(RowError, match=message):
        check_rerank_row({"query": "q", "documents": ["a"]} | changed)


def test_optional_texts_may_be_null_and_a_document_empty() -> None:
    check_pair({"query": "q", "document": "", "title": None, "query_id": None, "doc_id": None})


def test_numbers_out_of_range_are_rejected() -> None:
    row = {"a": 1, "b": 1.5, "c": True, "d": "1", "e": None}
    assert number_field(row, "a", 0, 1) == 1.0
    assert number_field(row, "e", 0, 1) is None
    assert number_field(row, "absent", 0, 1) is None
    for name in "bcd":
        with pytest.raises(RowError, match="expected a number"):
            number_field(row, name, 0, 1)


def test_string_field_may_be_absent_only_where_allowed() -> None:
    assert string_field({}, "a", required=False) == ""
    with pytest.raises(RowError, match="no such field"):
        string_field({}, "a")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"), (True, "boolean true"), (3, "number 3"), (2.5, "number 2.5"),
        ("x", "string 'x'"), ([], "array"), ({}, "object"),
    ],
)  # fmt: skip
def test_values_are_named_by_json_type(value: object, name: str) -> None:
    assert json_type(value) == name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("teacher_score", "0.5"), ("teacher_score", [1]), ("teacher_score", True),
        ("teacher_score", 1.5), ("verdict", True), ("verdict", ["yes"]), ("verdict", "Yes"),
        ("query", "a\0"), ("document", "\0"),
    ],
)  # fmt: skip
def test_a_field_of_the_contract_with_another_value_is_rejected_by_name(
    field: str, value: object
) -> None:
    with pytest.raises(RowError) as caught:
        check_pair({"query": "q", "document": "d"} | {field: value})
    assert caught.value.field == field
    check_pair({"query": "q", "document": "d", "verdict": None, "teacher_score": None})
