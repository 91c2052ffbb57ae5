"""Mixture: the rows of each training step, drawn from the sft pool and the pointwise pool.

The sft objective trains on the answer (verdict and texts), the pointwise objective on the score.
Each pool has the rows with its objective; a row with both is in both. Everything is a pure function
of (seed, draw), so a resumed run sees the same rows as an uninterrupted one.

Source: arXiv 2604.23734, section on training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mixture = Literal["sft", "mixed"]


@dataclass(frozen=True)
class Pools:
    """Row numbers by objective, each ascending and unique."""

    sft: Sequence[int] | NDArray[np.int64]
    pointwise: Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """A run's draws in order.

    Attributes:
        rows: row numbers, int64 [draws].
        from_sft: bool [draws]. True: the row keeps its objectives. False: pointwise alone.
    """

    rows: NDArray[np.int64]
    from_sft: NDArray[np.bool_]


def epoch_draws(pools: Pools, sft_ratio: float, mixture: Mixture = "mixed") -> int:
    """Return the number of draws after which the larger pool is expected to have been seen once.

    mixed: max(ceil(n_pointwise / (1 - r)), ceil(n_sft / r)); with one pool empty, the other's
    size. sft: the size of the sft pool, or of the pointwise pool where that is empty.
    """
    n_sft, n_pointwise = len(pools.sft), len(pools.pointwise)
    if not n_sft or not n_pointwise:
        return n_sft + n_pointwise
    if mixture == "sft":
        return n_sft
    ratio = _exact_fraction(sft_ratio)
    return max(ceil(n_pointwise / (1 - ratio)), ceil(n_sft / ratio))


def step_count(epoch_draws: int, epochs: float, rows_per_step: int) -> int:
    """Return the optimizer steps of so many epochs, the last step filled up; at least 1."""
    return max(1, ceil(_exact_fraction(epochs) * epoch_draws / rows_per_step))


def draw_rows(pools: Pools, sft_ratio: float, mixture: Mixture, seed: int, count: int) -> Draws:
    """Return the first `count` draws.

    A pool is traversed in a new random order each time, so no row is drawn for the n-th time before
    all rows of its pool have been drawn n - 1 times.
    """
    if not len(pools.pointwise) or (mixture == "sft" and len(pools.sft)):
        from_sft = np.ones(count, dtype=bool)
    elif not len(pools.sft):
        from_sft = np.zeros(count, dtype=bool)
    else:
        from_sft = np.random.default_rng([seed, 0]).random(count) < sft_ratio
    rows = np.empty(count, dtype=np.int64)
    for stream, (pool, chosen) in enumerate(
        ((pools.sft, from_sft), (pools.pointwise, ~from_sft)), start=1
    ):
        needed = int(chosen.sum())
        numbers = np.asarray(pool, dtype=np.int64)
        rounds = [
            numbers[np.random.default_rng([seed, stream, around]).permutation(len(numbers))]
            for around in range(ceil(needed / len(numbers)) if needed else 0)
        ]
        rows[chosen] = np.concatenate(rounds)[:needed] if rounds else rows[:0]
    return Draws(rows, from_sft)


def _exact_fraction(number: float) -> Fraction:
    """Return the decimal as written: .7 as a float is slightly smaller, which changes ceil."""
    return Fraction(str(number))
