"""Clients in JavaScript beside cohere-ai."""

from collections.abc import Callable
from typing import Any

from tests.clients.expected import arguments, check_errors, results


def test_ai_sdk(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("node/use_ai_sdk.mjs", arguments(served))
    assert outcomes["plain"] == results(text=True)
    assert outcomes["top_n"] == results(text=True, top=2)
    assert outcomes["evidence"] == results(text=True, evidence=True)
    assert outcomes["busy once"] == results(text=True)
    error = "AI_APICallError"
    check_errors(outcomes, key=error, blank=error, busy=error, stopping=error)


def test_langchain(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("node/use_langchain.mjs", arguments(served))
    assert outcomes["rerank"] == results()
    assert outcomes["top_n"] == results(top=2)
    assert outcomes["compress"] == results(text=True, top=3), "3 is its default"
    assert outcomes["evidence"] == results(text=True, top=3), "it drops the evidence"
    check_errors(outcomes, key="UnauthorizedError", blank="BadRequestError")
