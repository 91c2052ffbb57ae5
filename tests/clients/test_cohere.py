"""cohere 5 and 7, from Python, and cohere-ai, from JavaScript."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.expected import arguments, check_errors, results


@pytest.mark.parametrize("environment", ["python", "cohere5", "node"])
def test_both_clients_rank(served: str, client: Callable[..., Any], environment: str) -> None:
    script = "node/use_cohere.mjs" if environment == "node" else "python/use_cohere.py"
    outcomes = client(script, arguments(served), environment)
    assert outcomes["v1"] == results(text=True)
    assert outcomes["v1 documents"] == results(text=True, top=2)
    assert outcomes["v1 evidence"] == results(text=True, evidence=True)
    assert outcomes["v2"] == results()
    assert outcomes["v2 top_n"] == results(top=2)
    assert outcomes["v2 evidence"] == results(evidence=True)
    if environment != "node":
        assert outcomes["v1 async"] == results(text=True)
        assert outcomes["v2 async"] == results(evidence=True)
    assert outcomes["busy once"] == results(), "a refused request is tried again"
    check_errors(
        outcomes,
        key="UnauthorizedError",
        blank="BadRequestError",
        busy="TooManyRequestsError",
        stopping="ServiceUnavailableError",
    )
