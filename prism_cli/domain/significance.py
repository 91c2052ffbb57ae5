"""Significance of differences: paired permutation test, bootstrap intervals, Holm's correction."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from prism_cli.domain.metrics import mean

PERMUTATIONS = 20_000
RESAMPLES = 9_999
LEVEL = 0.95
SIGNIFICANT = 0.05
NORMAL_FROM = 20_000
"""Number of queries from which the normal interval replaces the bootstrap."""
_BATCH_VALUES = 4_000_000
_DRAWS_A_KIND = 16
_NORMAL = NormalDist()
_TIE = 1e-9
"""Differences up to this size are ties."""


def permutation_p(
    first: Sequence[float],
    second: Sequence[float],
    *,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> float:
    """Return the two-sided p of the mean difference of paired values, by flipping the pairs' signs.

    All sign flips are enumerated if there are at most `permutations`; else that many are drawn and
    p = (count + 1) / (permutations + 1), so that p is never 0. Equal values: p = 1.

    Args:
        first, second: one value per query each, in the same order.
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
    count, remaining = 0, permutations
    while remaining:
        rows = min(remaining, max(1, _BATCH_VALUES // size))
        flips = 1 - 2 * generator.integers(0, 2, (rows, size), dtype=np.int8)
        count += int((np.abs(flips @ differences) >= at_least).sum())
        remaining -= rows
    return (count + 1) / (permutations + 1)


def paired_comparison(
    first: Sequence[float], second: Sequence[float], *, seed: int = 0
) -> dict[str, Any]:
    """Compare `first` with `second`, one value per query each: difference of the means; number of
    queries, and of those won, tied and lost; p."""
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
    """Return each comparison with `p_holm`, its p corrected for all of them."""
    adjusted = holm([comparison["p"] for comparison in comparisons])
    return [comparison | {"p_holm": p} for comparison, p in zip(comparisons, adjusted, strict=True)]


def bootstrap_interval(
    values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """Return `ratio_interval` of the mean of one value per query."""
    return ratio_interval(values, [1] * len(values), seed=seed, resamples=resamples)


def wilson_interval(successes: float, count: float) -> tuple[float, float]:
    """Return the interval of a share at LEVEL (Wilson 1927), within [0, 1], valid at both ends.

    Args:
        successes: number of successes, at least 0.
        count: number of independent trials, at least 1.
    """
    from math import sqrt

    deviate = _NORMAL.inv_cdf((1 + LEVEL) / 2)
    share, spread = successes / count, deviate**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    low = 0.0 if successes == 0 else middle - half
    return low, 1.0 if successes == count else middle + half


def exact_interval(successes: float, count: float) -> tuple[float, float]:
    """Return the interval of a share at LEVEL (Clopper and Pearson 1934): it covers the true share
    at least so often, also for very small shares. Arguments as for `wilson_interval`."""
    from scipy.stats import beta

    tail, failures = (1 - LEVEL) / 2, count - successes
    low = beta.ppf(tail, successes, failures + 1) if successes else 0.0
    high = beta.ppf(1 - tail, successes + 1, failures) if failures else 1.0
    return float(low), float(high)


def ratio_interval(
    sums: Sequence[float],
    counts: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    share: bool = True,
) -> tuple[float, float] | None:
    """Return the interval at LEVEL of the mean over rows, Σ sums / Σ counts, sampling queries.

    BCa bootstrap (Efron 1987), with acceleration from the jackknife; the percentile interval where
    BCa is undefined (the bootstrap lies on one side of the mean). From `NORMAL_FROM` queries on the
    normal interval by the delta method, to which BCa converges. Where all queries have the same
    mean, or there is one, there is none; for a share of 0 or 1 it is Wilson's interval for that
    many queries, since none of 20 does not mean never. None without rows.

    Args:
        sums, counts: sum and number of the rows of each query, in the same order; queries without
            rows are ignored.
        share: True if values lie in [0, 1].
    """
    import numpy as np

    rows = np.column_stack([np.asarray(sums, float), np.asarray(counts, float)])
    rows = rows[rows[:, 1] > 0]
    size = len(rows)
    if size == 0:
        return None
    total, count = rows.sum(axis=0)
    ratio = total / count
    means = rows[:, 0] / rows[:, 1]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    deviates = np.array([_NORMAL.inv_cdf(tail) for tail in tails])
    if means.min() == means.max():
        point = float(means[0])
        ends = share and point in (0.0, 1.0)
        return wilson_interval(point * size, size) if ends else None
    if size >= NORMAL_FROM:
        squares = ((rows[:, 0] - ratio * rows[:, 1]) ** 2).sum() * size / (size - 1)
        bounds = ratio + deviates * np.sqrt(squares) / count
        low, high = np.clip(bounds, means.min(), means.max())
        return float(low), float(high)
    resampled = _resampled(rows, seed, resamples)
    # Equal means may differ in the last digits, since they were summed in different orders.
    close = np.abs(resampled - ratio) <= 1e-12 * (abs(ratio) + np.abs(resampled))
    below = float(((resampled < ratio) & ~close).mean() + close.mean() / 2)
    if 0 < below < 1:
        bias = _NORMAL.inv_cdf(below)
        jackknife = (total - rows[:, 0]) / (count - rows[:, 1])
        deviations = jackknife.mean() - jackknife
        squares = (deviations**2).sum()
        acceleration = (deviations**3).sum() / squares**1.5 / 6 if squares else 0.0
        corrected = bias + (bias + deviates) / (1 - acceleration * (bias + deviates))
        tails = [_NORMAL.cdf(deviate) for deviate in corrected]
    low, high = np.quantile(resampled, tails)
    return float(low), float(high)


def _resampled(rows: "Any", seed: int, resamples: int) -> "Any":
    """Return Σ sums / Σ counts of `resamples` draws of len(rows) rows with replacement."""
    import numpy as np

    generator = np.random.default_rng(seed)
    size = len(rows)
    distinct, frequencies = np.unique(rows, axis=0, return_counts=True)
    few = len(distinct) * _DRAWS_A_KIND <= size  # such as 0 and 1: draw their frequencies at once
    ratios = np.empty(resamples)
    step = max(1, _BATCH_VALUES // (len(distinct) if few else size))
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        if few:
            drawn = generator.multinomial(size, frequencies / size, block) @ distinct
            ratios[start : start + block] = drawn[:, 0] / drawn[:, 1]
        else:
            chosen = generator.integers(0, size, (block, size), dtype=np.int32)
            ratios[start : start + block] = rows[:, 0][chosen].sum(1) / rows[:, 1][chosen].sum(1)
    return ratios


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values, in order, after Holm's step-down correction for all of them."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for rank, index in enumerate(order):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = floor
    return adjusted
