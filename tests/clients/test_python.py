"""Clients in Python beside cohere; most drop the evidence, and must not trip over it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.expected import arguments, check, results

COHERE_ERRORS = {"key": "UnauthorizedError", "blank": "BadRequestError"}
RUNTIME_ERRORS = dict.fromkeys(("key", "blank", "busy"), "RuntimeError")


def logit(value: float) -> float:
    """Return the score of a client that asks for logits."""
    return value


def test_voyageai(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("python/use_voyageai.py", arguments(served))
    errors = {
        "key": "AuthenticationError",
        "blank": "InvalidRequestError",
        "busy": "RateLimitError",
    }
    check(outcomes, errors=errors, text=True)
    assert outcomes["async"] == results(text=True, top=2)
    assert outcomes["once"] == results(text=True), "a refused request is tried again"
    assert outcomes["stopping"]["error"] == "ServiceUnavailableError"


def test_langchain(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("python/use_langchain.py", arguments(served))
    check(outcomes, "jina", errors={**RUNTIME_ERRORS, "stopping": "RuntimeError"}, text=True)
    errors = {"key": "AuthenticationError", "blank": "InvalidRequestError"}
    check(outcomes, "voyage", errors=errors, text=True)
    assert outcomes["voyage async"] == results(text=True)
    errors = dict.fromkeys(("key", "blank", "busy"), "Exception")
    check(outcomes, "nvidia", errors=errors, text=True, score=logit)
    assert outcomes["nvidia default"] == results(text=True, score=logit)
    assert outcomes["nvidia batches"] == results(text=True, score=logit)


def test_langchain_cohere(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("cohere5/use_langchain.py", arguments(served))
    check(outcomes, errors=COHERE_ERRORS, text=True)


@pytest.mark.slow
def test_litellm(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("python/use_litellm.py", arguments(served))
    errors = {
        "key": "AuthenticationError",
        "blank": "BadRequestError",
        "busy": "RateLimitError",
        "stopping": "ServiceUnavailableError",
    }
    for provider in ("cohere", "hosted_vllm", "together_ai", "jina_ai", "huggingface", "voyage"):
        text = provider != "voyage"
        own = {"blank": "APIError"} if provider == "huggingface" else {}
        check(outcomes, provider, errors=errors | own, text=text)
        text = provider not in ("voyage", "cohere", "huggingface")  # these drop it there
        assert outcomes[f"{provider} async"] == results(text=text), provider


@pytest.mark.slow
def test_llama_index(served: str, served_without_keys: str, client: Callable[..., Any]) -> None:
    given = arguments(served, open_url=served_without_keys)
    outcomes = client("python/use_llama_index.py", given)
    check(outcomes, "jina", errors=RUNTIME_ERRORS, text=True)
    check(outcomes, "siliconflow", errors=RUNTIME_ERRORS, text=True)
    errors = dict.fromkeys(("key", "blank", "busy"), "Exception")
    check(outcomes, "xinference", errors=errors, text=True)
    check(outcomes, "tei", errors={}, text=True)
    assert outcomes["tei blank"]["error"] == "AssertionError", "it reads no error of any server"
    check(outcomes, "nvidia", errors={}, text=True, score=logit)
    assert "401" in outcomes["nvidia key"]["message"]
    assert "429" in outcomes["nvidia busy"]["message"]


def test_llama_index_cohere(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("cohere5/use_llama_index.py", arguments(served))
    check(outcomes, errors=COHERE_ERRORS, text=True)


def test_haystack(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("python/use_haystack.py", arguments(served))
    for name in ("jina", "vllm", "tei"):
        check(outcomes, name, errors=RUNTIME_ERRORS, text=True)
        assert outcomes[f"{name} async"] == results(text=True)
    assert outcomes["vllm evidence by field"] == results(text=True)
    assert outcomes["tei raw"] == results(text=True, score=logit)
    assert outcomes["tei once"] == results(text=True), "a refused request is tried again"


def test_haystack_cohere(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("cohere5/use_haystack.py", arguments(served))
    check(outcomes, errors=COHERE_ERRORS, text=True)
    assert outcomes["async"] == results(text=True)


def test_infinity(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("cohere5/use_infinity.py", arguments(served))
    errors = dict.fromkeys(("key", "blank", "busy", "stopping"), "UnexpectedStatus")
    check(outcomes, errors=errors, evidence=True)
    assert outcomes["documents"] == results(text=True)
    assert outcomes["raw"] == results(score=logit)
    assert outcomes["health"] == 200


def test_other_services(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("python/use_others.py", arguments(served))
    errors = {
        "key": "AuthenticationError",
        "blank": "BadRequestError",
        "busy": "RateLimitError",
        "stopping": "InternalServerError",
    }
    check(outcomes, "mixedbread", errors=errors, evidence=True)
    check(outcomes, "zeroentropy", errors=errors, evidence=True)
    assert outcomes["mixedbread input"] == results(text=True)
    assert outcomes["mixedbread evidence by field"] == results(evidence=True)


def test_rerankers(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("cohere5/use_rerankers.py", arguments(served))
    for name in ("cohere", "jina", "voyage", "mixedbread.ai", "text-embeddings-inference"):
        assert outcomes[name] == results(text=True), name
        assert outcomes[f"{name} evidence"] == results(text=True), name
