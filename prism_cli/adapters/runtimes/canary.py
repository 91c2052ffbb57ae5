"""A look at a model before it works: a plainly relevant pair should beat a plainly irrelevant one.

A wrong template or damaged weights turn scores into noise without any error; this shows it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from prism_cli.domain.scoring import relevance_score

_QUERY = "What is the capital of France?"
RELEVANT = (_QUERY, "Paris is the capital and largest city of France, on the river Seine.")
IRRELEVANT = (_QUERY, "Photosynthesis turns light, water and carbon dioxide into sugar.")


class Scorer(Protocol):
    """What the canary asks of a runtime."""

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]: ...


def canary_scores(scorer: Scorer) -> dict[str, float | bool]:
    """{"relevant": score, "irrelevant": score, "ok": whether the first is higher}."""
    relevant, irrelevant = scorer.logits([RELEVANT, IRRELEVANT])
    return {
        "relevant": round(relevance_score(relevant), 4),
        "irrelevant": round(relevance_score(irrelevant), 4),
        "ok": relevant > irrelevant,
    }


def canary_warning(model: str, scores: Mapping[str, float | bool]) -> str | None:
    """What to tell of scores that are the wrong way round."""
    if scores["ok"]:
        return None
    return (
        f"{model}: a known relevant pair scores {scores['relevant']}, an irrelevant one "
        f"{scores['irrelevant']}: untrained or damaged weights, or another prompt profile. "
        "Its scores may mean nothing"
    )
