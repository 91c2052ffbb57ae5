"""Clients in JavaScript beside cohere-ai."""

from collections.abc import Callable
from typing import Any

from tests.clients.expected import arguments, check, results


def test_ai_sdk(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("node/use_ai_sdk.mjs", arguments(served))
    errors = dict.fromkeys(("key", "blank", "busy", "stopping"), "AI_APICallError")
    for name in ("cohere", "together"):
        check(outcomes, name, errors=errors, text=True, evidence=True)
        assert outcomes[f"{name} once"] == results(text=True), "a refused request is tried again"


def test_voyageai(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("node/use_voyageai.mjs", arguments(served))
    check(outcomes, errors=dict.fromkeys(("key", "blank", "busy"), "VoyageAIError"))
    assert outcomes["once"] == results(), "a refused request is tried again"


def test_langchain(served: str, client: Callable[..., Any]) -> None:
    outcomes = client("node/use_langchain.mjs", arguments(served))
    check(outcomes, errors={"key": "UnauthorizedError", "blank": "BadRequestError"})
    assert outcomes["compress"] == results(text=True, top=3), "3 is its default"
