"""Agreement of people's ratings with a judge's, and among people; each figure with its bootstrap
interval over rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prism_cli.domain.agreement import RESAMPLES, percentile_interval
from prism_cli.domain.significance import wilson_interval

_BATCH_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval at LEVEL; None where undefined, or the same in every resample."""

    value: float | None
    low: float | None = None
    high: float | None = None


def compare_ratings(
    people: Sequence[float], judge: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Estimate]:
    """Return both means, quadratic weighted kappa, Spearman's rho, mean absolute difference, and
    the shares of rows with equal ratings (less than half a point apart) and with ratings within one
    point.

    A resample in which a figure is undefined is ignored. A share of 0 or 1 has Wilson's interval.

    Args:
        people, judge: one rating per row, in the same order; means of several people may be
            fractions.
    """
    rows = np.array([people, judge], float).T
    found = {
        name: _estimate(rows, figure, seed, resamples) for name, figure in _COMPARISONS.items()
    }
    for name in _SHARES:
        value = found[name].value
        if value in (0, 1):
            found[name] = Estimate(value, *wilson_interval(value * len(rows), len(rows)))
    return found


def ordinal_alpha(
    ratings: Sequence[Sequence[float | None]], *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Return Krippendorff's alpha for ordinal data (Krippendorff 2011); ratings may be missing.

    Undefined where all ratings are equal, or where no row has two.

    Args:
        ratings: one list per row, one entry per person.
    """
    present = [[rating for rating in row if rating is not None] for row in ratings]
    present = [row for row in present if len(row) > 1]
    kinds = sorted({rating for row in present for rating in row})
    counts = np.array([[row.count(kind) for kind in kinds] for row in present], float)
    if len(kinds) < 2:
        return Estimate(None)
    # Coincidences of each row: pairs of kinds, weighted by Krippendorff's 1 / (m - 1).
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(kinds))
    pairs /= counts.sum(1)[:, None, None] - 1
    rows = np.concatenate([counts, pairs.reshape(len(counts), -1)], axis=1)
    return _estimate(rows, lambda drawn: _alphas(drawn, len(kinds)), seed, resamples)


def _alphas(drawn: Any, kinds: int) -> Any:
    sums = drawn.sum(1)  # (resamples, kinds + kinds²)
    totals, observed = sums[:, :kinds], sums[:, kinds:].reshape(-1, kinds, kinds)
    before = np.cumsum(totals, 1) - totals / 2  # cumulated to the middle of each kind
    distance = (before[:, :, None] - before[:, None, :]) ** 2
    all_ = totals.sum(1)
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum((1, 2)) / (all_ - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        alphas = 1 - (observed * distance).sum((1, 2)) / expected
    return np.where(expected > 0, alphas, np.nan)


def _estimate(rows: Any, figure: Callable[[Any], Any], seed: int, resamples: int) -> Estimate:
    """Return `figure` of (1, rows, columns), and its percentiles over resampled rows."""
    size = len(rows)
    value = float(figure(rows[None])[0]) if size else np.nan
    if not np.isfinite(value):
        return Estimate(None)
    generator = np.random.default_rng(seed)
    step = max(1, _BATCH_VALUES // rows.size)
    drawn = np.concatenate(
        [
            figure(rows[generator.integers(0, size, (min(step, resamples - start), size))])
            for start in range(0, resamples, step)
        ]
    )
    return Estimate(value, *percentile_interval(drawn))


def _kappa(drawn: Any) -> Any:
    """Return quadratic weighted kappa: Cohen's (1968) for whole numbers; also defined for means."""
    people, judge = drawn[..., 0], drawn[..., 1]
    observed = ((people - judge) ** 2).mean(1)
    chance = people.var(1) + judge.var(1) + (people.mean(1) - judge.mean(1)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(chance > 1e-12, 1 - observed / chance, np.nan)


def _rho(drawn: Any) -> Any:
    """Return Pearson's r of the ranks; ties have their mean rank."""
    from scipy.stats import rankdata

    ranks = rankdata(drawn, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    both = (ranks[..., 0] * ranks[..., 1]).sum(1)
    spread = np.sqrt((ranks[..., 0] ** 2).sum(1) * (ranks[..., 1] ** 2).sum(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 1e-12, both / spread, np.nan)


def _apart(drawn: Any) -> Any:
    return abs(drawn[..., 0] - drawn[..., 1])


_COMPARISONS: dict[str, Callable[[Any], Any]] = {
    "people_mean": lambda drawn: drawn[..., 0].mean(1),
    "judge_mean": lambda drawn: drawn[..., 1].mean(1),
    "kappa": _kappa,
    "spearman": _rho,
    "mean_absolute_difference": lambda drawn: _apart(drawn).mean(1),
    "same": lambda drawn: (_apart(drawn) < 0.5).mean(1),
    "within_one": lambda drawn: (_apart(drawn) <= 1).mean(1),
}
COMPARISONS = tuple(_COMPARISONS)
_SHARES = ("same", "within_one")
