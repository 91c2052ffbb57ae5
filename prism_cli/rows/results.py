"""Output of a reranker as pair rows with predictions, also for a query with `results`."""

from math import inf
from typing import Any

from prism_cli.errors import RowError
from prism_cli.rows.candidates import Candidate, candidates, check_rerank_row
from prism_cli.rows.contract import check_kinds
from prism_cli.rows.row import Row, json_type, number_field, verdict_field

RESULT_FIELDS = {
    "relevance_score": "score",
    "logit": "logit",
    "verdict": "predicted_verdict",
    "contribution": "predicted_contribution",
    "evidence": "predicted_evidence",
    "format_ok": "format_ok",
}
"""Field of a result -> field of a pair row."""
_SAME_NAMES = (
    "evidence_omitted", "unsupported", "contribution_unsupported", "evidence_origin",
    "evidence_generated", "contribution_generated", "windows", "best_window", "repeats",
    "fused_score",
)  # fmt: skip
OPTIONAL_FIELDS = {
    "citations": "predicted_citations",
    "contribution_citations": "predicted_contribution_citations",
    **dict(zip(_SAME_NAMES, _SAME_NAMES, strict=True)),
}
"""The same of fields that only some results have."""
PREDICTIONS = RESULT_FIELDS | OPTIONAL_FIELDS
"""All of both."""


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


def pairs_of(row: Row) -> list[Row]:
    """Return the pair rows of a row: itself, or one for each of its results."""
    return result_pairs(row) if "documents" in row else [row]


def result_of(pair: Row) -> Row:
    """Return the fields of a result that a pair row has, without index and doc_id."""
    scored = {name: RESULT_FIELDS[name] for name in ("relevance_score", "logit", "verdict")}
    names = scored | {"truncated": "truncated"} | PREDICTIONS
    return {name: pair[field] for name, field in names.items() if field in pair}


def check_reranked(row: Row) -> None:
    """Check that a row of either shape has the results of `prism rerank`.

    Raises:
        RowError: names the field.
    """
    check_rerank_row(row)
    check_kinds(row, ("model",))
    for pair in pairs_of(row):
        number_field(pair, "logit", -inf, inf)
        score, verdict = number_field(pair, "score", 0, 1), verdict_field(pair, "predicted_verdict")
        if score is None or verdict is None:
            missing = "score" if score is None else "predicted_verdict"
            raise RowError(missing, "expected a result of prism rerank, found no such field")
        check_kinds(pair, PREDICTIONS.values())
        if pair.get("windows") is not None and pair.get("best_window") is None:
            raise RowError("best_window", "expected [start, end] beside windows, found none")


def _pair(row: Row, texts: list[Candidate], result: Any, path: str) -> Row:
    if not isinstance(result, dict):
        raise RowError(path, f"expected an object, found {json_type(result)}")
    index = result.get("index")
    if type(index) is not int or not 0 <= index < len(texts):
        raise RowError(
            f"{path}.index",
            f"expected the place of one of {len(texts)} documents, found {json_type(index)}",
        )
    doc_id, text = texts[index][:2]
    document = row["documents"][index]
    pair: Row = {name: row[name] for name in ("query_id", "query", "original_query") if name in row}
    pair |= {"doc_id": doc_id, "document": text}
    if isinstance(document, dict):
        pair |= {"title": document.get("title") or "", "document": document["text"]}
        pair |= {"verdict": document["verdict"]} if "verdict" in document else {}
    return pair | {field: result[name] for name, field in PREDICTIONS.items() if name in result}
