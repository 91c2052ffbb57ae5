"""Requests as programs with a rerank provider send them, and what those read of the reply.

The programs were read, not run; `tests/clients` runs libraries. Each entry has the request, and a
function that returns the scores that the program sees, in the order of the documents.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from prism_cli.domain.scoring import relevance_score
from tests.serving.served import Served

KEY = "key-of-the-program"
BEARER = {"authorization": f"Bearer {KEY}"}
QUERY = "river"
TEXTS = ["a cat", "a river by the town", "bread", "a big river"]
LOGITS = [-2.995, 3.019, -2.995, 3.011]
SCORES = [relevance_score(logit) for logit in LOGITS]
BODY = {"model": "m", "query": QUERY, "documents": TEXTS}
TEI = {"query": QUERY, "texts": TEXTS}
Read = Callable[[Any], list[float]]


class Program(NamedTuple):
    """A program.

    Attributes:
        read: returns its scores of a reply, one a document.
        scores: that it must see.
    """

    path: str
    body: dict[str, Any]
    read: Read
    headers: dict[str, str] = BEARER
    scores: list[float] = SCORES


def scores(results: list[dict[str, Any]], name: str = "relevance_score") -> list[float]:
    """Return the scores at the indices of their documents."""
    found = [0.0] * len(TEXTS)
    for one in results:
        found[one["index"]] = one[name]
    return found


def by_results(reply: Any) -> list[float]:
    return scores(reply["results"])


def by_list(reply: Any) -> list[float]:
    return scores(reply, "score")


def by_documents(reply: Any) -> list[float]:
    """Read the texts of the results, unasked, as two of Dify's providers do."""
    results = reply["results"]
    return scores([{**one, "index": TEXTS.index(one["document"]["text"])} for one in results])


def with_usage(reply: Any) -> list[float]:
    assert reply["usage"]["total_tokens"] == 40
    return by_results(reply)


def with_meta(reply: Any) -> list[float]:
    tokens = reply["meta"]["tokens"]
    assert (tokens["input_tokens"], tokens["output_tokens"]) == (40, 0)
    return by_results(reply)


def in_order(reply: Any) -> list[float]:
    """Read one score a document, without indices but by their order."""
    results = sorted(reply["results"], key=lambda one: one["index"])
    return [one["relevance_score"] for one in results]


def from_data(reply: Any) -> list[float]:
    return scores(reply.get("data") or reply["results"])


def as_weaviate(reply: Any) -> list[float]:
    assert isinstance(reply["id"], str)
    assert isinstance(reply["meta"]["api_version"]["version"], str)
    return by_results(reply)


PROGRAMS = {
    "Open WebUI": Program(
        "/v1/rerank", BODY | {"top_n": 4}, in_order, BEARER | {"x-openwebui-user-name": "Ann"}
    ),
    "Dify, OpenAI-compatible": Program(
        "/rerank", BODY | {"top_n": 4, "return_documents": True}, by_documents
    ),
    "Dify, LocalAI and GPUStack": Program("/v1/rerank", BODY | {"top_n": 4}, by_documents),
    "Dify, TEI": Program("/rerank", TEI | {"truncate": True}, by_list),
    "RAGFlow, Xinference": Program(
        "/v1/rerank", BODY | {"return_documents": "true", "return_len": "true"}, with_meta
    ),
    "RAGFlow, Jina": Program("/v1/rerank", BODY | {"top_n": 4}, with_usage),
    "RAGFlow, NVIDIA": Program(
        "/v1/retrieval/nvidia/reranking",
        {
            "model": "m",
            "query": {"text": QUERY},
            "passages": [{"text": text} for text in TEXTS],
            "truncate": "END",
            "top_n": 4,
        },
        lambda reply: scores(reply["rankings"], "logit"),
        scores=LOGITS,
    ),
    "RAGFlow, TEI": Program("/rerank", TEI | {"raw_scores": False, "truncate": True}, by_list),
    "Continue, TEI": Program(
        "/v1/rerank",
        TEI | {"return_text": False, "raw_scores": False, "truncation_direction": "Right"},
        by_list,
    ),
    "Continue, OpenAI": Program("/v1/rerank", BODY, from_data),
    "LightRAG": Program("/v2/rerank", BODY | {"top_n": 4, "return_documents": False}, by_results),
    "FastGPT": Program("/v1/rerank", BODY, with_meta),
    "Flowise, Azure": Program(
        "/v1/rerank",
        BODY | {"top_n": 4, "max_chunks_per_doc": 10, "return_documents": False},
        by_results,
        {"api-key": KEY},
    ),
    "Weaviate": Program("/v2/rerank", BODY | {"return_documents": False}, as_weaviate),
    "Milvus, TEI": Program(
        "/rerank", TEI | {"truncate": True, "truncation_direction": "Left"}, by_list
    ),
    "R2R": Program("/rerank", TEI | {"model-id": "m"}, by_list),
    "Onyx, LiteLLM": Program("/rerank", BODY, in_order),
    "Elasticsearch, Jina": Program(
        "/v1/rerank", BODY | {"top_n": None, "return_documents": True}, by_documents
    ),
    "objects with metadata": Program(
        "/rerank",
        BODY
        | {"documents": [{"id": 1, "text": text, "metadata": {"page": 2}} for text in TEXTS]}
        | {"api_key": KEY, "user": None, "instruction": ""},
        by_documents,
    ),
}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(KEY) as one:
        yield one


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("evidence", [False, True])
def test_programs_see_the_scores(served: Served, name: str, evidence: bool) -> None:
    program = PROGRAMS[name]
    body = program.body | ({"model": "m:evidence", "max_new_tokens": 3} if evidence else {})
    reply = served.client.post(program.path, json=body, headers=program.headers)
    assert reply.status_code == 200, reply.text
    if evidence and program.read is with_meta:
        assert reply.json()["meta"]["tokens"]["output_tokens"] > 0
        assert by_results(reply.json()) == pytest.approx(program.scores, abs=1e-5)
    elif evidence and program.read is with_usage:
        assert reply.json()["usage"]["total_tokens"] > 40
    else:
        assert program.read(reply.json()) == pytest.approx(program.scores, abs=1e-5)


def test_programs_that_ask_what_a_server_is_are_told(served: Served) -> None:
    info = served.client.get("/info", headers=BEARER).json()
    assert "reranker" in info["model_type"]
    assert info["max_client_batch_size"] >= 1_000
    assert info["max_input_length"] == 512
    for path in ("/v1/models", "/models"):
        models = served.client.get(path, headers=BEARER).json()["data"]
        assert [one["id"] for one in models] == ["river", "river:evidence"]


@pytest.mark.parametrize("name", ["Weaviate", "LightRAG", "Dify, TEI", "RAGFlow, NVIDIA"])
def test_programs_show_what_was_wrong(served: Served, name: str) -> None:
    program = PROGRAMS[name]
    reply = served.client.post(program.path, json=program.body | {"query": ""}, headers=BEARER)
    assert reply.status_code == (422 if "texts" in program.body else 400)
    value = reply.json()
    said = value["message"] if "message" in value else value["error"]
    assert said.startswith("query: expected text")
