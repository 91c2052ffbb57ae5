"""Score and verdict from the logit at the verdict's position, and the answer of a score."""

import math
from typing import Literal

BOUNDARY = 0.5
"""A score, or a probability of yes, above it says yes."""


def relevance_score(logit: float) -> float:
    """Return 1 / (1 + exp(-logit)), in [0, 1], without overflow.

    Args:
        logit: l_yes - l_no at the last prompt position, in nats; -inf for an unscored document.
    """
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)


def verdict_of(logit: float) -> Literal["yes", "no"]:
    """Return the greedy verdict: "yes" where the logit is above 0, else "no"."""
    return "yes" if logit > 0 else "no"


def answer_of(score: float) -> Literal["yes", "no"]:
    """Return the answer of a score, or of a probability of yes: "yes" above BOUNDARY, else "no"."""
    return "yes" if score > BOUNDARY else "no"
