"""A query with documents and results as pair rows."""

from typing import Any

import pytest

from prism_cli.errors import RowError
from prism_cli.rows.results import result_pairs
from prism_cli.rows.row import text_id

ROW: dict[str, Any] = {
    "query": "how big",
    "query_id": "q1",
    "documents": ["Plain text.", {"doc_id": "d", "title": "T", "text": "Big.", "verdict": "yes"}],
}
YES = {
    "index": 1, "doc_id": "d", "relevance_score": 0.8, "logit": 1.4, "verdict": "yes",
    "contribution": "c", "evidence": "e", "format_ok": True, "truncated": False,
}  # fmt: skip
NO = {"index": 0, "relevance_score": 0.2, "verdict": "no", "evidence": None, "format_ok": None}


def test_each_result_is_a_pair_with_predictions() -> None:
    first, second = result_pairs(ROW | {"results": [YES, NO]})
    assert first == {
        "query_id": "q1", "query": "how big", "doc_id": "d", "document": "Big.", "title": "T",
        "verdict": "yes", "score": 0.8, "logit": 1.4, "predicted_verdict": "yes",
        "predicted_contribution": "c", "predicted_evidence": "e", "format_ok": True,
    }  # fmt: skip
    assert second["doc_id"] == text_id("Plain text.")
    assert second["predicted_verdict"] == "no"
    assert "predicted_contribution" not in second


@pytest.mark.parametrize(
    ("results", "field"),
    [
        (None, "results"),
        ("x", "results"),
        ([YES, 3], "results[1]"),
        ([{}], "results[0].index"),
        ([YES | {"index": 2}], "results[0].index"),
        ([YES | {"index": -1}], "results[0].index"),
        ([YES | {"index": True}], "results[0].index"),
    ],
)
def test_results_of_another_shape_are_refused(results: Any, field: str) -> None:
    with pytest.raises(RowError) as raised:
        result_pairs(ROW if results is None else ROW | {"results": results})
    assert raised.value.field == field
