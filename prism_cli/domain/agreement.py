"""How far judges agree: yes-rates, Cohen's kappa by pair, Krippendorff's alpha with its interval.

All of it from counts of vote patterns, so that memory does not grow with the rows. The votes must
be those of rows on which every judge was asked, chosen by lot: where a panel stops early, the rows
with all votes are the disputed ones.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RESAMPLES = 9_999
LEVEL = 0.95

Pattern = tuple[Any, ...]
"""One row's votes, one entry a judge, in the panel's order; None where a judge gave none."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two judges on the rows where both voted.

    Attributes:
        rows: how many those are.
        share: of them on which the two say the same, from 0 to 1; None without rows.
        kappa: Cohen's, from -1 to 1; None without rows, or where both always say one same thing.
    """

    rows: int
    share: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Alpha:
    """Krippendorff's alpha for nominal data, and its bootstrap interval at LEVEL.

    Attributes:
        rows: with two votes or more; others say nothing about agreement.
        value: 1 is agreement, 0 what chance gives; None where all votes are the same.
        low, high: percentiles over resampled rows; None where `value` is.
    """

    rows: int
    value: float | None
    low: float | None
    high: float | None


def yes_rate(patterns: Mapping[Pattern, int], judge: int) -> tuple[int, float | None]:
    """How often the judge at that place voted, and its share of yes; None where it never did."""
    votes: Counter[Any] = Counter()
    for pattern, count in patterns.items():
        votes[pattern[judge]] += count
    del votes[None]
    return votes.total(), votes["yes"] / votes.total() if votes.total() else None


def pair_agreement(patterns: Mapping[Pattern, int], one: int, other: int) -> PairAgreement:
    """The judges at two places; Cohen's kappa (1960)."""
    both: Counter[tuple[Any, Any]] = Counter()
    for pattern, count in patterns.items():
        if pattern[one] is not None and pattern[other] is not None:
            both[pattern[one], pattern[other]] += count
    rows = both.total()
    if not rows:
        return PairAgreement(0, None, None)
    left, right = Counter[Any](), Counter[Any]()
    for (first, second), count in both.items():
        left[first] += count
        right[second] += count
    same = sum(count for (first, second), count in both.items() if first == second)
    chance = sum(left[vote] * right[vote] for vote in left)
    share = same / rows
    if chance == rows * rows:
        return PairAgreement(rows, share, None)
    return PairAgreement(rows, share, (same * rows - chance) / (rows * rows - chance))


def krippendorff_alpha(
    patterns: Mapping[Pattern, int], *, seed: int = 0, resamples: int = RESAMPLES
) -> Alpha:
    """Alpha over all judges; missing votes are allowed (Krippendorff 2011, nominal metric).

    The interval resamples rows; a resample in which all votes are the same has no alpha and does
    not count.
    """
    import numpy as np

    kinds = sorted({vote for pattern in patterns for vote in pattern if vote is not None})
    units: Counter[tuple[int, ...]] = Counter()
    for pattern, count in patterns.items():
        votes = Counter(pattern)
        unit = tuple(votes[kind] for kind in kinds)
        if sum(unit) > 1:
            units[unit] += count
    rows = units.total()
    order = sorted(units)  # the interval must not depend on the order of the rows
    counts = np.array([units[unit] for unit in order], float)
    if not rows:
        return Alpha(0, None, None, None)
    value = _alphas(order, counts[None, :])[0]
    if np.isnan(value):
        return Alpha(rows, None, None, None)
    drawn = np.random.default_rng(seed).multinomial(rows, counts / rows, size=resamples)
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(_alphas(order, drawn), [tail, 1 - tail])
    return Alpha(rows, float(value), float(low), float(high))


def _alphas(units: Sequence[tuple[int, ...]], counts: Any) -> Any:
    """Alpha of each line of `counts` (lines, units); NaN where all votes are the same."""
    import numpy as np

    votes = np.array(units, float)  # (units, kinds of vote)
    cast = votes.sum(1)
    differing = (cast**2 - (votes**2).sum(1)) / (cast - 1)
    observed = counts @ differing
    totals = counts @ votes
    pairable = totals.sum(1)
    expected = pairable**2 - (totals**2).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 1 - (pairable - 1) * observed / expected
    return np.where(expected > 0, found, np.nan)
