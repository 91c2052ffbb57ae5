"""How reranker APIs differ: what a call is made of, and where the scores stand in its reply.

Every one of them gives scores in [0, 1], taken as they are (`raw_scores` of TEI is off, vLLM
applies the model's own activation). Sources: the providers' API references; for TEI and vLLM those
of their servers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API's words.

    Attributes:
        documents, score: names in request and reply.
        results: the reply's list of results; "" where the reply is that list.
        how_many: the parameter that asks for all results; "" where all come anyway.
        cut: the parameter for the most tokens of a document, where the API cuts by itself.
        settings: sent with every call.
        names_model: whether the call names the model; else the server has only one.
        most_documents: a call, where the model's card does not say.
        chunk_tokens: a longer document counts as several in a search; None where it does not.
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
"""By the provider file's `api`."""
