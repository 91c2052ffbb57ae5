"""Disagreement of judge, teacher and student on a row: where they differ, a label teaches most."""

from statistics import fmean
from typing import Any

from prism_cli.domain.voting import Vote
from prism_cli.rows.row import Row

SIDES = ("judge", "teacher", "student")
LEAST_SIDES = 2

_VOTES: dict[Vote | None, float] = {"yes": 1.0, "no": 0.0}


def opinions(row: Row) -> dict[str, float]:
    """Return P(yes) by side, in the order of SIDES, for those that a row has.

    judge: mean over `votes`, of the probability in `vote_probabilities` where there is one.
    teacher: `teacher_score`. student: `score`, as rerank writes it.
    """
    probabilities: dict[str, Any] = row.get("vote_probabilities") or {}
    votes = [
        _VOTES[vote] if probabilities.get(judge) is None else probabilities[judge]
        for judge, vote in (row.get("votes") or {}).items()
        if vote in _VOTES
    ]
    found = {
        "judge": fmean(votes) if votes else None,
        "teacher": row.get("teacher_score"),
        "student": row.get("score"),
    }
    return {side: float(value) for side, value in found.items() if value is not None}


def disagreement(row: Row) -> float | None:
    """Return the largest difference between two sides, in [0, 1]; None with fewer than two."""
    values = opinions(row).values()
    return max(values) - min(values) if len(values) >= LEAST_SIDES else None
