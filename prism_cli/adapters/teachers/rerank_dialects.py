"""Request and reply formats of reranker APIs.

All return scores in [0, 1], which are used unchanged (TEI: `raw_scores` is off; vLLM applies the
model's own activation). Sources: the API references of the providers, TEI and vLLM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Dialect:
    """Format of one API.

    Attributes:
        documents: field of the documents in the request.
        score: field of the score in a result.
        results: field of the list of results; "" if the reply itself is the list.
        how_many: parameter for the number of results; "" if all are returned anyway.
        cut: parameter for the maximum tokens of a document, if the API truncates by itself.
        settings: parameters of every call.
        names_model: True if the call names the model; False if the server has only one.
        most_documents: maximum documents per call, unless the model's card has another limit.
        chunk_tokens: a longer document is billed as several; None if it is not.
    """

    results: str = "results"
    score: str = "relevance_score"
    documents: str = "documents"
    how_many: str = "top_n"
    cut: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    names_model: bool = True
    most_documents: int = 100
    chunk_tokens: int | None = None


DIALECTS: Mapping[str, Dialect] = {
    "voyage": Dialect(results="data", how_many="top_k", settings={"truncation": False}),
    "cohere": Dialect(cut="max_tokens_per_doc", chunk_tokens=500),
    "jina": Dialect(settings={"return_documents": False}),
    "vllm-rerank": Dialect(),
    "tei": Dialect(
        results="",
        score="score",
        documents="texts",
        how_many="",
        settings={"truncate": False, "raw_scores": False, "return_text": False},
        names_model=False,
        most_documents=32,
    ),
}
"""Dialects by the `api` of the provider file."""
