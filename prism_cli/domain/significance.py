"""How sure a difference is: paired permutation test, bootstrap intervals, Holm's correction."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from prism_cli.domain.metrics import mean

PERMUTATIONS = 20_000
RESAMPLES = 9_999
LEVEL = 0.95
NORMAL_FROM = 20_000
"""Queries from which on the normal interval stands for the bootstrap."""
_BATCH_VALUES = 4_000_000
_DRAWS_A_KIND = 16
_NORMAL = NormalDist()
_TIE = 1e-9
"""Differences up to this are none."""


def permutation_p(
    first: Sequence[float],
    second: Sequence[float],
    *,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> float:
    """Two-sided p of the mean difference of paired values, by flipping the pairs' signs.

    All flips are counted where there are no more than `permutations` of them; else that many are
    drawn and p = (count + 1) / (permutations + 1), so that p is never 0. Equal values: p = 1.

    Args:
        first, second: one value a query each, in the same order.
    """
    import numpy as np

    differences = np.asarray(first, float) - np.asarray(second, float)
    differences = differences[differences != 0]
    size = len(differences)
    if size == 0:
        return 1.0
    at_least = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if 2**size <= permutations:
        bits = np.arange(2**size)[:, None] >> np.arange(size) & 1
        sums = np.abs((1 - 2 * bits) @ differences)
        return float((sums >= at_least).mean())
    generator = np.random.default_rng(seed)
    count, left = 0, permutations
    while left:
        rows = min(left, max(1, _BATCH_VALUES // size))
        flips = 1 - 2 * generator.integers(0, 2, (rows, size), dtype=np.int8)
        count += int((np.abs(flips @ differences) >= at_least).sum())
        left -= rows
    return (count + 1) / (permutations + 1)


def paired_comparison(
    first: Sequence[float], second: Sequence[float], *, seed: int = 0
) -> dict[str, Any]:
    """`first` against `second`, one value a query each: difference of the means, queries, those
    won, tied and lost, and p."""
    moves = [new - old for new, old in zip(first, second, strict=True)]
    wins = sum(move > _TIE for move in moves)
    losses = sum(move < -_TIE for move in moves)
    return {
        "difference": mean(first) - mean(second),
        "queries": len(moves),
        "win": wins,
        "tie": len(moves) - wins - losses,
        "loss": losses,
        "p": permutation_p(first, second, seed=seed),
    }


def with_holm(comparisons: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with `p_holm`, its p after the correction over all of them."""
    adjusted = holm([one["p"] for one in comparisons])
    return [one | {"p_holm": p} for one, p in zip(comparisons, adjusted, strict=True)]


def bootstrap_interval(
    values: Sequence[float], *, seed: int = 0, level: float = LEVEL, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """`ratio_interval` of the mean of one value a query."""
    return ratio_interval(values, [1] * len(values), seed=seed, level=level, resamples=resamples)


def wilson_interval(successes: float, count: int, *, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a share (Wilson 1927); it stays within [0, 1] and holds at the ends.

    Args:
        successes: of `count` that are independent of each other; at least 1.
    """
    from math import sqrt

    deviate = _NORMAL.inv_cdf((1 + level) / 2)
    share, spread = successes / count, deviate**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    low = 0.0 if successes == 0 else middle - half
    return low, 1.0 if successes == count else middle + half


def ratio_interval(
    sums: Sequence[float],
    counts: Sequence[float],
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    share: bool = True,
) -> tuple[float, float]:
    """Interval of the mean over rows, Σ sums / Σ counts, the queries being the sample.

    BCa bootstrap (Efron 1987), its acceleration from the jackknife; the percentile interval where
    BCa is not defined (the bootstrap lies on one side of the mean). From `NORMAL_FROM` queries on
    the normal interval by the delta method, which BCa comes to there. Where all queries have one
    mean no resample differs, and it is that point; of a share of 0 or 1 it is Wilson's interval for
    that many queries, as none of 20 is not never. (0, 0) without rows.

    Args:
        sums, counts: of the rows of each query, in one order; queries without rows do not count.
        level: between 0 and 1.
        share: whether values lie in [0, 1].
    """
    import numpy as np

    rows = np.column_stack([np.asarray(sums, float), np.asarray(counts, float)])
    rows = rows[rows[:, 1] > 0]
    size = len(rows)
    if size == 0:
        return 0.0, 0.0
    total, count = rows.sum(axis=0)
    ratio = total / count
    means = rows[:, 0] / rows[:, 1]
    tails = [(1 - level) / 2, (1 + level) / 2]
    deviates = np.array([_NORMAL.inv_cdf(one) for one in tails])
    if means.min() == means.max():
        one = float(means[0])
        ends = share and one in (0.0, 1.0)
        return wilson_interval(one * size, size, level=level) if ends else (one, one)
    if size >= NORMAL_FROM:
        squares = ((rows[:, 0] - ratio * rows[:, 1]) ** 2).sum() * size / (size - 1)
        bounds = ratio + deviates * np.sqrt(squares) / count
        low, high = np.clip(bounds, means.min(), means.max())
        return float(low), float(high)
    found = _resampled(rows, seed, resamples)
    # Equal means may differ in the last digits, as they were summed in different orders.
    close = np.abs(found - ratio) <= 1e-12 * (abs(ratio) + np.abs(found))
    below = float(((found < ratio) & ~close).mean() + close.mean() / 2)
    if 0 < below < 1:
        bias = _NORMAL.inv_cdf(below)
        without = (total - rows[:, 0]) / (count - rows[:, 1])
        off = without.mean() - without
        squares = (off**2).sum()
        lean = (off**3).sum() / squares**1.5 / 6 if squares else 0.0
        moved = bias + (bias + deviates) / (1 - lean * (bias + deviates))
        tails = [_NORMAL.cdf(one) for one in moved]
    low, high = np.quantile(found, tails)
    return float(low), float(high)


def _resampled(rows: "Any", seed: int, resamples: int) -> "Any":
    """Σ sums / Σ counts of as many draws of len(rows) rows with replacement."""
    import numpy as np

    generator = np.random.default_rng(seed)
    size = len(rows)
    kinds, often = np.unique(rows, axis=0, return_counts=True)
    few = len(kinds) * _DRAWS_A_KIND <= size  # such as 0 and 1: how often each, in one draw
    found = np.empty(resamples)
    step = max(1, _BATCH_VALUES // (len(kinds) if few else size))
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        if few:
            drawn = generator.multinomial(size, often / size, block) @ kinds
            found[start : start + block] = drawn[:, 0] / drawn[:, 1]
        else:
            chosen = generator.integers(0, size, (block, size), dtype=np.int32)
            found[start : start + block] = rows[:, 0][chosen].sum(1) / rows[:, 1][chosen].sum(1)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction over all comparisons of one evaluation; order kept."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for rank, index in enumerate(order):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = floor
    return adjusted
