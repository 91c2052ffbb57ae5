"""How far judges agree: yes-rates, Cohen's kappa by pair, Krippendorff's alpha with its interval.

All of it from counts of vote patterns, so that memory does not grow with the rows. The votes must
be those of rows on which every judge was asked, chosen by lot: where a panel stops early, the rows
with all votes are the disputed ones.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

RESAMPLES = 9_999
LEVEL = 0.95

FEW_ROWS = 30
"""Of fewer rows nothing is said in words."""
_BANDS = ((0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))
"""Kappa up to that figure, in the words of Landis and Koch (1977)."""
RELIABLE_ALPHA, LEAST_ALPHA = 0.8, 0.667
"""From where labels are reliable, and from where they allow tentative conclusions."""

Pattern = tuple[Any, ...]
"""One row's votes, one entry a judge, in the panel's order; None where a judge gave none."""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two judges on the rows where both voted.

    Attributes:
        rows: how many those are.
        share: of them on which the two say the same, from 0 to 1; None without rows.
        kappa: Cohen's, from -1 to 1; None without rows, or where both always say one same thing.
        low, high: percentiles of kappa over resampled rows, at LEVEL; None where kappa is.
    """

    rows: int
    share: float | None
    kappa: float | None
    low: float | None = None
    high: float | None = None

    @property
    def in_words(self) -> str:
        """What kappa says, as far as so many rows can tell."""
        if self.rows < FEW_ROWS:
            return "too few rows to tell"
        if self.kappa is None or self.low is None:
            return "always the same vote"
        if self.low <= 0:
            return "no better than chance"
        return next((word for top, word in _BANDS if self.kappa <= top), "almost perfect")


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

    @property
    def in_words(self) -> str:
        """How far labels of such a panel can be relied on (Krippendorff 2004: .8 and .667)."""
        if self.rows < FEW_ROWS:
            return "too few rows to tell"
        if self.value is None:
            return "cannot be told"
        if self.value >= RELIABLE_ALPHA:
            return "reliable"
        return "for tentative conclusions" if self.value >= LEAST_ALPHA else "unreliable"


def yes_rate(patterns: Mapping[Pattern, int], judge: int) -> tuple[int, float | None]:
    """How often the judge at that place voted, and its share of yes; None where it never did."""
    votes: Counter[Any] = Counter()
    for pattern, count in patterns.items():
        votes[pattern[judge]] += count
    del votes[None]
    return votes.total(), votes["yes"] / votes.total() if votes.total() else None


def pair_agreement(
    patterns: Mapping[Pattern, int],
    one: int,
    other: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PairAgreement:
    """The judges at two places; Cohen's kappa (1960).

    A resample in which both always say one same thing has no kappa and does not count.
    """
    import numpy as np

    both: Counter[tuple[Any, Any]] = Counter()
    for pattern, count in patterns.items():
        if pattern[one] is not None and pattern[other] is not None:
            both[pattern[one], pattern[other]] += count
    rows = both.total()
    if not rows:
        return PairAgreement(0, None, None)
    kinds = sorted({vote for pair in both for vote in pair})
    votes = np.array([[both[first, second] for second in kinds] for first in kinds], float)
    share = float(votes.trace() / rows)
    kappa = _kappas(votes[None])[0]
    if np.isnan(kappa):
        return PairAgreement(rows, share, None)
    drawn = np.random.default_rng(seed).multinomial(rows, votes.ravel() / rows, size=resamples)
    low, high = _interval(_kappas(drawn.reshape(-1, *votes.shape)))
    return PairAgreement(rows, share, float(kappa), low, high)


def _kappas(votes: Any) -> Any:
    """Kappa of each table of counts (tables, kinds, kinds); NaN where chance alone gives 1."""
    import numpy as np

    rows = votes.sum((1, 2))
    same = np.trace(votes, axis1=1, axis2=2) * rows
    chance = (votes.sum(1) * votes.sum(2)).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (same - chance) / (rows * rows - chance)


def _interval(values: Any) -> tuple[float, float]:
    """Percentiles at LEVEL of those that are numbers."""
    import numpy as np

    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


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
    return Alpha(rows, float(value), *_interval(_alphas(order, drawn)))


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


def audit_figures(
    audited: Mapping[Pattern, int], judges: Sequence[str], seed: int
) -> dict[str, object]:
    """How far the votes of `judges`, in that order, agree: from audit rows alone, as elsewhere the
    rows with all votes are the disputed ones."""
    rates = [yes_rate(audited, place) for place in range(len(judges))]
    pairs = [
        (one, other, pair_agreement(audited, one, other, seed=seed))
        for one, other in combinations(range(len(judges)), 2)
    ]
    alpha = krippendorff_alpha(audited, seed=seed)
    return {
        "yes-rates on audit rows": [
            {"judge": spec, "votes": votes, "yes": _rounded(rate)}
            for spec, (votes, rate) in zip(judges, rates, strict=True)
        ],
        "kappa on audit rows": [
            {
                "judge": judges[one],
                "with": judges[other],
                "rows": found.rows,
                "same vote": _rounded(found.share),
                "kappa": _rounded(found.kappa),
                f"{LEVEL:.0%} from": _rounded(found.low),
                "to": _rounded(found.high),
                "in words": found.in_words,
            }
            for one, other, found in pairs
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
