"""A look at a model before it works: a plainly relevant pair should clearly beat an irrelevant one.

A wrong template, damaged weights or a collapse in training turn scores into noise without any
error; this shows it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from prism_cli.domain.scoring import relevance_score

_QUERY = "What is the capital of France?"
RELEVANT = (_QUERY, "Paris is the capital and largest city of France, on the river Seine.")
IRRELEVANT = (_QUERY, "Photosynthesis turns light, water and carbon dioxide into sugar.")
MIN_MARGIN = 1.0
"""Of the logits: the odds of yes for the relevant one are 2.7 times as high. hf:prism-tiny has 4.5;
a model that has collapsed says the same of both."""
MIN_DIFFERENCE = 0.01
"""Of the scores."""


class Scorer(Protocol):
    """What the canary asks of a runtime."""

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]: ...


def canary_scores(scorer: Scorer) -> dict[str, float | bool]:
    """As `canary_of`, of what `scorer` says of the two pairs."""
    return canary_of(*scorer.logits([RELEVANT, IRRELEVANT]))


def canary_of(relevant: float, irrelevant: float) -> dict[str, float | bool]:
    """{"relevant": score, "irrelevant": score, "ok": whether the first is clearly higher}, from the
    logits: by MIN_MARGIN, and by MIN_DIFFERENCE as scores."""
    scores = [relevance_score(one) for one in (relevant, irrelevant)]
    apart = relevant - irrelevant >= MIN_MARGIN and scores[0] - scores[1] >= MIN_DIFFERENCE
    return {"relevant": round(scores[0], 4), "irrelevant": round(scores[1], 4), "ok": apart}


def canary_warning(model: str, scores: Mapping[str, float | bool]) -> str | None:
    """What to tell of scores that are the wrong way round, or hardly differ."""
    if scores["ok"]:
        return None
    found = (
        f"{model}: a known relevant pair scores {scores['relevant']:.4g}, an irrelevant one "
        f"{scores['irrelevant']:.4g}: "
    )
    if scores["relevant"] < scores["irrelevant"]:
        return (
            f"{found}untrained or damaged weights, or another prompt profile. "
            "Its scores may mean nothing"
        )
    return (
        f"{found}it does not clearly tell them apart (expected a difference of {MIN_DIFFERENCE} "
        f"and {MIN_MARGIN:g} in the logit): collapsed in training, untrained or damaged weights, "
        "or another prompt profile. Its scores may mean nothing"
    )
