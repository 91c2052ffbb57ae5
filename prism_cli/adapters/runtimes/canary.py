"""Sanity check of a model: a plainly relevant pair must score clearly above an irrelevant one.

A wrong template, damaged weights or a collapse in training turn scores into noise without any
error; this check reports it.
"""

from collections.abc import Mapping

from prism_cli.domain.scoring import relevance_score
from prism_cli.ports import RerankRuntime

_QUERY = "What is the capital of France?"
RELEVANT = (_QUERY, "Paris is the capital and largest city of France, on the river Seine.")
IRRELEVANT = (_QUERY, "Photosynthesis turns light, water and carbon dioxide into sugar.")
MIN_MARGIN = 1.0
"""Minimum difference of logits: 2.7 times the odds. hf:prism-tiny: 4.5; collapsed models: 0."""
MIN_DIFFERENCE = 0.01
"""Minimum difference of the scores."""


def canary_scores(runtime: RerankRuntime) -> dict[str, float | bool]:
    """Return `canary_of` of the two pairs' logits."""
    return canary_of(*runtime.logits([RELEVANT, IRRELEVANT]))


def canary_of(relevant: float, irrelevant: float) -> dict[str, float | bool]:
    """Return {"relevant": score, "irrelevant": score, "ok": bool} from two logits; ok means a
    difference of at least MIN_MARGIN, and of MIN_DIFFERENCE as scores."""
    scores = [relevance_score(logit) for logit in (relevant, irrelevant)]
    apart = relevant - irrelevant >= MIN_MARGIN and scores[0] - scores[1] >= MIN_DIFFERENCE
    return {"relevant": round(scores[0], 4), "irrelevant": round(scores[1], 4), "ok": apart}


def canary_warning(model: str, scores: Mapping[str, float | bool]) -> str | None:
    """Return a warning if the scores are reversed or hardly differ, else None."""
    if scores["ok"]:
        return None
    figures = (
        f"{model}: a known relevant pair scores {scores['relevant']:.4g}, an irrelevant one "
        f"{scores['irrelevant']:.4g}: "
    )
    if scores["relevant"] < scores["irrelevant"]:
        return (
            f"{figures}untrained or damaged weights, or another prompt profile. "
            "Its scores may mean nothing"
        )
    return (
        f"{figures}it does not clearly tell them apart (expected a difference of {MIN_DIFFERENCE} "
        f"and {MIN_MARGIN:g} in the logit): collapsed in training, untrained or damaged weights, "
        "or another prompt profile. Its scores may mean nothing"
    )
