"""Output of a reranker as pair rows with predictions, also for a query with `results`."""

from typing import Any

from prism_cli.errors import RowError
from prism_cli.rows.candidates import candidates
from prism_cli.rows.row import Row, json_type

RESULT_FIELDS = {
    "relevance_score": "score",
    "logit": "logit",
    "verdict": "predicted_verdict",
    "contribution": "predicted_contribution",
    "evidence": "predicted_evidence",
    "format_ok": "format_ok",
}
"""Field of a result -> field of a pair row."""
_PREDICTIONS = RESULT_FIELDS | {"evidence_omitted": "evidence_omitted"}


def result_pairs(row: Row) -> list[Row]:
    """Return a pair row for each of `results`, in their order, with the field names of pair rows.

    Raises:
        RowError: `documents` or `results` do not have the form that `rerank` writes.
    """
    texts = candidates(row)
    results = row.get("results")
    if not isinstance(results, list):
        found = json_type(results) if "results" in row else "no such field"
        raise RowError("results", f"expected the array that prism rerank writes, found {found}")
    return [_pair(row, texts, result, f"results[{index}]") for index, result in enumerate(results)]


def _pair(row: Row, texts: list[tuple[str, str]], result: Any, path: str) -> Row:
    if not isinstance(result, dict):
        raise RowError(path, f"expected an object, found {json_type(result)}")
    index = result.get("index")
    if type(index) is not int or not 0 <= index < len(texts):
        raise RowError(
            f"{path}.index",
            f"expected the place of one of {len(texts)} documents, found {json_type(index)}",
        )
    doc_id, text = texts[index]
    document = row["documents"][index]
    pair: Row = {name: row[name] for name in ("query_id", "query", "original_query") if name in row}
    pair |= {"doc_id": doc_id, "document": text}
    if isinstance(document, dict):
        pair |= {"title": document.get("title") or "", "document": document["text"]}
        pair |= {"verdict": document["verdict"]} if "verdict" in document else {}
    return pair | {field: result[name] for name, field in _PREDICTIONS.items() if name in result}
