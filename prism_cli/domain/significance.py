"""How sure a difference is: paired permutation test, bootstrap intervals, Holm's correction."""

from collections.abc import Sequence
from typing import Any

PERMUTATIONS = 20_000
RESAMPLES = 9_999
LEVEL = 0.95
_BATCH_VALUES = 4_000_000


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


def bootstrap_interval(
    values: Sequence[float], *, seed: int = 0, level: float = LEVEL, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """BCa bootstrap interval of the mean (scipy), the queries being the sample.

    Where all values are equal it is that point. Where BCa is not defined (the bootstrap lies on
    one side of the mean) it is the percentile interval.
    """
    import warnings

    import numpy as np
    from scipy import stats

    sample = np.asarray(values, float)
    if sample.size == 0:
        return 0.0, 0.0
    if sample.min() == sample.max():
        return float(sample[0]), float(sample[0])
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # degenerate: NaN, and then the other method
            found: Any = stats.bootstrap(
                (sample,),
                np.mean,
                confidence_level=level,
                n_resamples=resamples,
                batch=max(1, _BATCH_VALUES // sample.size),
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite([found.low, found.high]).all():
            break
    return float(found.low), float(found.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction over all comparisons of one evaluation; order kept."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for rank, index in enumerate(order):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = floor
    return adjusted
