"""What a client must show for the documents that the scripts rank."""

from collections.abc import Mapping
from typing import Any

import pytest

from prism_cli.domain.scoring import relevance_score
from tests.clients.server import KEY, expected_logit

QUERY = "river"
DOCUMENTS = ["a cat", "a river by the town", "bread and milk", "the big river"]
ORDER = (1, 3, 2, 0)
RELEVANT = 2
MESSAGES = {
    "key": "expected a key",
    "blank": "query: expected text, found a blank string",
    "busy": "the queue is full",
    "stopping": "the server is stopping",
}
"""Call -> words of the error that it must show."""


def arguments(url: str, **more: Any) -> dict[str, Any]:
    """Return what a script is given."""
    return {"url": url, "key": KEY, "query": QUERY, "documents": DOCUMENTS, **more}


def results(
    *,
    top: int = len(ORDER),
    index: bool = True,
    text: bool = False,
    evidence: bool = False,
    score: Any = relevance_score,
) -> list[dict[str, Any]]:
    """Return the results that a client shows.

    Args:
        index, text, evidence: True where it shows them.
        score: of a logit.
    """
    found = []
    for rank, number in enumerate(ORDER[:top]):
        document = DOCUMENTS[number]
        one: dict[str, Any] = {"index": number} if index else {}
        one["score"] = pytest.approx(score(expected_logit(QUERY, document)), abs=1e-5)
        one |= {"text": document} if text else {}
        found.append(one | ({"evidence": document} if evidence and rank < RELEVANT else {}))
    return found


def check(
    outcomes: dict[str, Any], name: str = "", *, errors: Mapping[str, str], **shown: Any
) -> None:
    """Assert that a client ranks, keeps the best two, ranks with evidence, and shows errors.

    Args:
        name: the client's calls are `name`, `name top`, `name evidence` and `name ERROR`.
        errors: kind of error -> class of the exception.
        shown: as for `results`; `evidence` is for the call with evidence alone.
    """
    prefix = f"{name} " if name else ""
    plain = {**shown, "evidence": False}
    assert outcomes[name or "plain"] == results(**plain), name
    assert outcomes[f"{prefix}top"] == results(top=2, **plain), name
    assert outcomes[f"{prefix}evidence"] == results(**shown), name
    for kind, error in errors.items():
        outcome = outcomes[prefix + kind]
        assert outcome["error"] == error, (name, kind, outcome)
        assert MESSAGES[kind] in outcome["message"]
