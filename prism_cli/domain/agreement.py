"""Agreement of judges: yes-rates, Cohen's kappa by pair, Krippendorff's alpha with its interval.

All figures come from counts of vote patterns, so memory does not grow with the rows. Count only
rows on which every judge was asked, chosen at random: where a panel stops early, the rows with all
votes are the disputed ones.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

RESAMPLES = 9_999
LEVEL = 0.95
_SAME = 1e-12
"""Figures so close are equal, but for rounding."""

FEW_ROWS = 30
"""Below this number of rows, agreement is not described in words."""
_BANDS = ((0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))
"""Upper bounds of kappa with the descriptions of Landis and Koch (1977)."""
RELIABLE_ALPHA, LEAST_ALPHA = 0.8, 0.667
"""Lower bounds of alpha for reliable labels and for tentative conclusions."""

Pattern = tuple[Any, ...]
"""One row's votes in the order of the panel's judges; None where a judge gave none."""
Kind = TypeVar("Kind", bound=Hashable)


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Agreement of two judges on the rows where both voted.

    Attributes:
        rows: number of those rows.
        share: share of them with the same vote, from 0 to 1; None without rows.
        kappa: Cohen's, from -1 to 1; None without rows, or where all votes are the same.
        low, high: percentiles of kappa over resampled rows, at LEVEL; None where kappa is None, or
            the same in every resample.
    """

    rows: int
    share: float | None
    kappa: float | None
    low: float | None = None
    high: float | None = None

    @property
    def in_words(self) -> str:
        """Describe kappa, as far as the number of rows allows."""
        if self.rows < FEW_ROWS:
            return "too few rows to tell"
        if self.kappa is None:
            return "always the same vote"
        if (self.kappa if self.low is None else self.low) <= 0:
            return "no better than chance"
        return next((word for top, word in _BANDS if self.kappa <= top), "almost perfect")


@dataclass(frozen=True, slots=True)
class Alpha:
    """Krippendorff's alpha for nominal data, and its bootstrap interval at LEVEL.

    Attributes:
        rows: rows with at least two votes; others say nothing about agreement.
        value: 1 for full agreement, 0 for agreement by chance; None where all votes are the same.
        low, high: percentiles over resampled rows; None where `value` is None, or the same in every
            resample.
    """

    rows: int
    value: float | None
    low: float | None
    high: float | None

    @property
    def in_words(self) -> str:
        """Describe how reliable the labels of such a panel are (Krippendorff 2004: .8 and .667)."""
        if self.rows < FEW_ROWS:
            return "too few rows to tell"
        if self.value is None:
            return "cannot be told"
        if self.value >= RELIABLE_ALPHA:
            return "reliable"
        return "for tentative conclusions" if self.value >= LEAST_ALPHA else "unreliable"


def effective_counts(counts: Mapping[tuple[float | None, Kind], int]) -> dict[Kind, float]:
    """Return counts by kind of row, given by (share of the rows that was drawn there, kind).

    Each row stands for 1 / share rows. The sum is the size of a sample of one share that tells as
    much: (Σw)² / Σw² (Kish 1965). Rows of one share, or if a share is unknown, count one each.
    """
    shares = {share for share, _ in counts}
    equal = len(shares) < 2 or not all(shares)
    weights = {share: 1 / share if share and not equal else 1.0 for share in shares}
    rows = sorted(counts.items(), key=repr)  # sums must not depend on the order of the rows
    whole = sum(count * weights[share] for (share, _), count in rows)
    squares = sum(count * weights[share] ** 2 for (share, _), count in rows)
    found: defaultdict[Kind, float] = defaultdict(float)
    for (share, kind), count in rows:
        found[kind] += count * weights[share] * whole / squares
    return dict(found)


def yes_rate(patterns: Mapping[Pattern, float], judge: int) -> tuple[float, float | None]:
    """Return the votes of the judge at this index, and its share of yes; None without votes."""
    votes = sum(count for pattern, count in patterns.items() if pattern[judge] is not None)
    yes = sum(count for pattern, count in patterns.items() if pattern[judge] == "yes")
    return votes, yes / votes if votes else None


def pair_agreement(
    patterns: Mapping[Pattern, float],
    first: int,
    second: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PairAgreement:
    """Return the agreement of the judges at two indices, with Cohen's kappa (1960).

    A resample in which all votes are the same has no kappa and is ignored.
    """
    import numpy as np

    both: defaultdict[tuple[Any, Any], float] = defaultdict(float)
    for pattern, count in patterns.items():
        if pattern[first] is not None and pattern[second] is not None:
            both[pattern[first], pattern[second]] += count
    size = sum(both.values())
    rows = round(size)
    if not rows:
        return PairAgreement(0, None, None)
    kinds = sorted({vote for pair in both for vote in pair})
    votes = np.array([[both[row, column] for column in kinds] for row in kinds], float)
    share = float(votes.trace() / size)
    kappa = _kappas(votes[None])[0]
    if np.isnan(kappa):
        return PairAgreement(rows, share, None)
    drawn = np.random.default_rng(seed).multinomial(rows, votes.ravel() / size, size=resamples)
    low, high = percentile_interval(_kappas(drawn.reshape(-1, *votes.shape)))
    return PairAgreement(rows, share, float(kappa), low, high)


def _kappas(votes: Any) -> Any:
    """Return kappa of each table of counts [tables, kinds, kinds]; NaN if chance alone gives 1."""
    import numpy as np

    rows = votes.sum((1, 2))
    same = np.trace(votes, axis1=1, axis2=2) * rows
    chance = (votes.sum(1) * votes.sum(2)).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (same - chance) / (rows * rows - chance)


def percentile_interval(values: Any) -> tuple[float, float] | tuple[None, None]:
    """Return the percentiles at LEVEL of the values that are not NaN; None where these are all
    equal: few rows that agree do not make a figure certain."""
    import numpy as np

    if np.nanmax(values) - np.nanmin(values) <= _SAME:
        return None, None
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def krippendorff_alpha(
    patterns: Mapping[Pattern, float], *, seed: int = 0, resamples: int = RESAMPLES
) -> Alpha:
    """Return alpha over all judges; votes may be missing (Krippendorff 2011, nominal metric).

    The interval resamples rows; a resample in which all votes are the same has no alpha and is
    ignored.
    """
    import numpy as np

    kinds = sorted({vote for pattern in patterns for vote in pattern if vote is not None})
    units: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for pattern, count in patterns.items():
        votes = Counter(pattern)
        unit = tuple(votes[kind] for kind in kinds)
        if sum(unit) > 1:
            units[unit] += count
    size = sum(units.values())
    rows = round(size)
    order = sorted(units)  # the interval must not depend on the order of the rows
    counts = np.array([units[unit] for unit in order], float)
    if not rows:
        return Alpha(0, None, None, None)
    value = _alphas(order, counts[None, :])[0]
    if np.isnan(value):
        return Alpha(rows, None, None, None)
    drawn = np.random.default_rng(seed).multinomial(rows, counts / size, size=resamples)
    return Alpha(rows, float(value), *percentile_interval(_alphas(order, drawn)))


def _alphas(units: Sequence[tuple[int, ...]], counts: Any) -> Any:
    """Return alpha of each row of `counts` [rows, units]; NaN where all votes are the same."""
    import numpy as np

    votes = np.array(units, float)  # (units, kinds of vote)
    cast = votes.sum(1)
    differing = (cast**2 - (votes**2).sum(1)) / (cast - 1)
    observed = counts @ differing
    totals = counts @ votes
    pairable = totals.sum(1)
    expected = pairable**2 - (totals**2).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        alphas = 1 - (pairable - 1) * observed / expected
    return np.where(expected > 0, alphas, np.nan)


def audit_figures(
    counts: Mapping[tuple[float | None, Pattern], int], judges: Sequence[str], seed: int
) -> dict[str, object]:
    """Return the agreement of `judges`, in that order, on the audit rows. Elsewhere the rows with
    all votes are the disputed ones.

    Args:
        counts: as `effective_counts` takes them.
    """
    audited = effective_counts(counts)
    tell = round(sum(audited.values()))
    differ = tell != sum(counts.values())
    rates = [yes_rate(audited, index) for index in range(len(judges))]
    pairs = [
        (first, second, pair_agreement(audited, first, second, seed=seed))
        for first, second in combinations(range(len(judges)), 2)
    ]
    alpha = krippendorff_alpha(audited, seed=seed)
    return {
        **({"audit rows of one share that would tell as much": tell} if differ else {}),
        "yes-rates on audit rows": [
            {"judge": spec, "votes": round(votes), "yes": _rounded(rate)}
            for spec, (votes, rate) in zip(judges, rates, strict=True)
        ],
        "kappa on audit rows": [
            {
                "judge": judges[first],
                "with": judges[second],
                "rows": agreement.rows,
                "same vote": _rounded(agreement.share),
                "kappa": _rounded(agreement.kappa),
                f"{LEVEL:.0%} from": _rounded(agreement.low),
                "to": _rounded(agreement.high),
                "in words": agreement.in_words,
            }
            for first, second, agreement in pairs
        ],
        "Krippendorff's alpha on audit rows": {
            "rows": alpha.rows,
            "alpha": _rounded(alpha.value),
            f"{LEVEL:.0%} from": _rounded(alpha.low),
            "to": _rounded(alpha.high),
            "labels of such a panel": alpha.in_words,
        },
    }


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 4)
