"""Fusion of a reranker's scores with those of the first stage that found the documents.

- A weight W: fused = (1 - W) * reranker + W * first stage. Both are scaled to [0, 1] over the
  documents of the query (min-max). The reranker's logits are scaled, not its scores, which are all
  close to 0 or 1 for many queries. A convex combination with min-max scaling is at least as good as
  reciprocal ranks where W is fitted (Bruch, Gai and Ingber 2023, arXiv 2210.11934).
- "rrf", reciprocal rank fusion: 1 / (60 + rank) summed over both (Cormack, Clarke and Buettcher
  2009); nothing is fitted. Equal values share the better rank.
"""

from collections.abc import Sequence
from typing import Literal

RRF: Literal["rrf"] = "rrf"
RRF_K = 60
Fusion = float | Literal["rrf"]
"""Weight of the first stage in [0, 1], or "rrf"."""
FUSED = (" fused", f" {RRF}")
"""Ends of the names of fused systems, behind the name of their model."""
DECIMALS = 8
"""Decimals of a fused score: enough to keep 10,000 reciprocal ranks apart."""


def fusion_of(value: object) -> Fusion | None:
    """Return the fusion that a setting means; None for none.

    Raises:
        ValueError: neither a number in [0, 1] nor "rrf".
    """
    if value is None or value == RRF:
        return RRF if value else None
    try:
        weight = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        weight = -1.0
    if isinstance(value, bool) or not 0 <= weight <= 1:
        raise ValueError("expected the first stage's weight, 0 to 1, or rrf")
    return weight


def first_stage_values(
    scores: Sequence[float | None], ranks: Sequence[float | None]
) -> list[float | None]:
    """Return one value per document of a query, greater is better: its score; 1 / (RRF_K + rank)
    where no document has a score. None for a document without."""
    if any(score is not None for score in scores):
        return list(scores)
    return [None if rank is None else 1 / (RRF_K + max(rank, 0)) for rank in ranks]


def fused_scores(
    logits: Sequence[float | None], first_stage: Sequence[float | None], fusion: Fusion
) -> list[float | None]:
    """Return the fused score of each document of a query, in the order given.

    Args:
        logits: the reranker's; None for a document that it has not scored, which gets no fused
            score and takes no part in the scaling.
        first_stage: None for a document that the first stage has not found, which counts as its
            last (weight), or adds nothing (rrf).
    """
    scored = [place for place, logit in enumerate(logits) if logit is not None]
    ours = [logits[place] for place in scored]
    theirs = [first_stage[place] for place in scored]
    fused: list[float | None] = [None] * len(logits)
    part, weights = _scaled, (1.0, 1.0)
    if fusion == RRF:
        part = _reciprocal
    else:
        weights = 1 - fusion, fusion
    for place, our, their in zip(scored, part(ours), part(theirs), strict=True):
        fused[place] = round(weights[0] * our + weights[1] * their, DECIMALS)
    return fused


def _scaled(values: Sequence[float | None]) -> list[float]:
    """Return the values scaled to [0, 1]; all .5 where they are equal; 0 for None."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = high / 2 - low / 2  # halves: the difference of two large numbers is not a number
    return [
        0.0 if value is None else (value / 2 - low / 2) / span if span else 0.5 for value in values
    ]


def _reciprocal(values: Sequence[float | None]) -> list[float]:
    """Return 1 / (RRF_K + rank); 0 for None."""
    order = sorted((value for value in values if value is not None), reverse=True)
    rank: dict[float, int] = {}
    for place, value in enumerate(order, 1):
        rank.setdefault(value, place)
    return [0.0 if value is None else 1 / (RRF_K + rank[value]) for value in values]
