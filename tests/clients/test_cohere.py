"""cohere 5 and 7, from Python, and cohere-ai, from JavaScript."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.expected import arguments, check, results

ERRORS = {
    "key": "UnauthorizedError",
    "blank": "BadRequestError",
    "busy": "TooManyRequestsError",
    "stopping": "ServiceUnavailableError",
}


@pytest.mark.parametrize("environment", ["python", "cohere5", "node"])
def test_both_clients_rank(served: str, client: Callable[..., Any], environment: str) -> None:
    script = "node/use_cohere.mjs" if environment == "node" else "python/use_cohere.py"
    outcomes = client(script, arguments(served), environment)
    check(outcomes, "v1", errors={}, text=True, evidence=True)
    check(outcomes, "v2", errors=ERRORS, evidence=True)
    assert outcomes["v1 documents"] == results(text=True, top=2)
    assert outcomes["v2 once"] == results(), "a refused request is tried again"
    if environment != "node":
        assert outcomes["v1 async"] == results(text=True)
        assert outcomes["v2 async"] == results(evidence=True)
