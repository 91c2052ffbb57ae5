"""A query with its documents, before and after it was reranked."""

from typing import Any

import pytest

from prism_cli.adapters.shapes.base import ShapeSettings
from prism_cli.adapters.shapes.cohere import CohereReader, CohereWriter
from prism_cli.errors import RowError
from prism_cli.rows.candidates import check_rerank_row

Row = dict[str, Any]


def test_documents_become_pairs_with_the_other_fields() -> None:
    row = {
        "query_id": "7",
        "query": "q",
        "lang": "en",
        "documents": ["plain", {"doc_id": "d", "title": "T", "text": "x", "source_label": "1"}],
    }
    first, second = CohereReader().read(row)
    assert (first["query_id"], first["document"], first["lang"]) == ("7", "plain", "en")
    assert second == {
        "query_id": "7",
        "query": "q",
        "doc_id": "d",
        "title": "T",
        "document": "x",
        "lang": "en",
        "source_label": "1",
    }


def test_citations_and_origin_of_a_result_are_kept() -> None:
    citations = [{"start": 0, "end": 1, "field": "document", "source_start": 0, "source_end": 1}]
    same = {"evidence_origin": "repaired", "evidence_generated": "b", "unsupported": []}
    result = {"index": 0, "relevance_score": 0.9, "evidence": "a", "citations": citations} | same
    row = {"query": "q", "documents": ["a"], "results": [result]}
    (pair,) = CohereReader().read(row)
    assert pair["predicted_citations"] == citations
    assert {name: pair[name] for name in same} == same


def test_results_are_joined_to_their_documents_with_their_rank() -> None:
    row = {
        "query": "q",
        "documents": ["a", "b", "c"],
        "results": [
            {"index": 1, "relevance_score": 0.9, "verdict": "yes", "evidence": "e"},
            {"index": 0, "relevance_score": 0.2},
        ],
    }
    first, second, third = CohereReader().read(row)
    assert (second["score"], second["rank"], second["predicted_evidence"]) == (0.9, 1, "e")
    assert (first["score"], first["rank"]) == (0.2, 2)
    assert (second["predicted_verdict"], "predicted_verdict" in first) == ("yes", False)
    assert "score" not in third
    assert "results" not in third


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"documents": None}, "documents"),
        ({"documents": ["a", 3]}, "documents[1]"),
        ({"documents": [{"title": "t"}]}, "documents[0].text"),
        (
            {"documents": [{"doc_id": "d", "text": "a"}, {"doc_id": "d", "text": "b"}]},
            "documents[1].doc_id",
        ),
        ({"query": ""}, "query"),
        ({"results": {}}, "results"),
        ({"results": [3]}, "results[0]"),
        ({"results": [{"index": 5}]}, "results[0].index"),
        ({"results": [{"index": 0}, {"index": 0}]}, "results[1].index"),
        ({"results": [{"index": 0, "relevance_score": "x"}]}, "results[0].relevance_score"),
    ],
)
def test_bad_row_names_its_field(change: Row, field: str) -> None:
    with pytest.raises(RowError) as caught:
        CohereReader().read({"query": "q", "documents": ["a", "b"]} | change)
    assert caught.value.field == field


def test_a_row_without_documents_is_reported() -> None:
    with pytest.raises(RowError, match="documents: expected an array, found no such field"):
        CohereReader().read({"query": "q"})


def test_pairs_become_a_row_that_rerank_takes() -> None:
    rows = [
        {"query": "q", "document": "a", "source": "s", "source_label": "1", "doc_id": "1"},
        {"query": "q", "document": "b", "source": "s", "title": "T"},
    ]
    writer = CohereWriter(ShapeSettings())
    (line,) = writer.write(rows)
    check_rerank_row(line)
    assert line == {
        "query": "q",
        "source": "s",
        "documents": [
            {"text": "a", "source_label": "1", "doc_id": "1"},
            {"text": "b", "title": "T"},
        ],
    }


def test_a_field_named_text_is_refused_beside_the_document() -> None:
    with pytest.raises(RowError, match="text: "):
        CohereWriter(ShapeSettings()).check({"query": "q", "document": "d", "text": "t"})


def test_a_document_with_two_texts_is_refused() -> None:
    row = {"query": "q", "documents": ["a", {"text": "b", "document": "c"}]}
    with pytest.raises(RowError) as error:
        CohereReader().read(row)
    assert error.value.field == "documents[1].document"
