"""Figures of a model with the baseline of an uninformed model, and detection of collapse.

A model that gives the same answer for every document still has a verdict accuracy: the share of the
larger class. So each figure has the baseline of such a model.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist, fmean, pstdev
from typing import Any

from prism_cli.wording import label

MIN_SPREAD = 0.1
"""Standard deviation of the logits, in nats, below which they count as equal."""
LEVEL = 0.95
NDCG_AT = 10
KNOWS_NOTHING = {
    "verdict_accuracy": "larger class",
    "auc": "chance",
    "nDCG@10": "random order",
    "score_mse": "one score for all",
}
"""Figure -> description of its baseline."""


def auc_interval(auc: float, yes: int, no: int) -> tuple[float, float] | None:
    """Return the 95 % interval of an area under the curve over so many rows of each kind, in [0,
    1]; None for an area of 0 or 1, of which the formula knows no spread.

    Source: Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve".
    """
    if auc in (0, 1):
        return None
    both_yes, both_no = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = auc * (1 - auc)
    variance += (yes - 1) * (both_yes - auc * auc) + (no - 1) * (both_no - auc * auc)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(max(0.0, variance) / (yes * no))
    return max(0.0, auc - half), min(1.0, auc + half)


def random_ndcg(grades: Iterable[Sequence[int]]) -> float:
    """Return the expected nDCG@10 of a random order: the mean over queries with a relevant
    document.

    Args:
        grades: grades of each query's documents, 0 or 1.
    """

    def discounts(count: int) -> float:
        return sum(1 / math.log2(place + 1) for place in range(1, min(count, NDCG_AT) + 1))

    return fmean(
        sum(query_grades)
        / len(query_grades)
        * discounts(len(query_grades))
        / discounts(sum(query_grades))
        for query_grades in grades
        if any(query_grades)
    )


def collapse(logits: Sequence[float], relevant: Sequence[bool], auc: float) -> str | None:
    """Return in one sentence why a model with these logits may have collapsed; None where there is
    no sign of it, or `relevant` has only one of both values.

    Signs: the same verdict for all rows; nearly equal logits; a 95 % interval of the AUC that
    includes chance.
    """
    yes = sum(relevant)
    no = len(relevant) - yes
    if not yes or not no:
        return None
    signs = []
    said_yes = sum(logit > 0 for logit in logits)
    if said_yes in (0, len(logits)):
        signs.append(f"it says {'yes' if said_yes else 'no'} to all of them")
    spread = pstdev(logits)
    if spread < MIN_SPREAD:
        signs.append(f"its logits are all but equal (standard deviation {spread:.2g})")
    interval = auc_interval(auc, yes, no)
    if (interval[0] if interval else auc) <= 0.5:
        words = " (95 % {:.3f} to {:.3f})".format(*interval) if interval else ""
        signs.append(f"its AUC of {auc:.3f}{words} is no better than chance")
    if not signs:
        return None
    rows = f"{len(logits):,} rows, {yes:,} of them yes"
    return f"the model may have collapsed: of {rows}, {' and '.join(signs)}"


def figures_in_words(figures: Mapping[str, Any]) -> str:
    """Return each figure, with its baseline where it has one."""
    baseline = figures.get("baseline", {})
    interval = figures.get("auc_interval")
    descriptions = []
    for name, value in figures.items():
        if not isinstance(value, int | float):
            continue
        details = [f"{KNOWS_NOTHING[name]} {baseline[name]:.4g}"] if name in baseline else []
        if name == "auc" and interval:
            details.append("95 % {:.4g} to {:.4g}".format(*interval))
        descriptions.append(
            f"{label(name)} {value:.4g}" + (f" ({', '.join(details)})" if details else "")
        )
    return ", ".join(descriptions)
