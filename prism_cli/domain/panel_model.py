"""Rates of a panel's judges, and chances of votes that were not cast, from its audit rows.

`JudgeRates` are sensitivity and specificity of each judge (Dawid and Skene 1979, by EM), which give
P(yes) after any votes. `pattern_weights` estimates how often each pattern of votes occurs. Judges
that err together make some patterns more frequent than independent errors would, so the patterns
are counted, and the counts are only smoothed with what independent judges of these rates would do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prism_cli.domain.agreement import Pattern
from prism_cli.domain.voting import PANEL_AGREEMENT, Vote

YES, NO, SILENT, UNASKED = range(4)
"""Codes of a judge's vote: SILENT is an abstention."""

CODES: dict[Vote | None, int] = {"yes": YES, "no": NO, None: SILENT}
_PRIOR_VOTES = 10.0
"""Weight of the prior: votes of each judge on rows of each truth, right in PANEL_AGREEMENT."""
_PRIOR_SILENCE = 0.01
_ROUNDS, _CHANGE = 500, 1e-8
_STRENGTHS = tuple(float(1 << power) for power in range(3, 9))
"""Numbers of rows that the smoothing may weigh. With more of them a few hundred rows would hardly
show that two of the judges err together."""


def coded(pattern: Pattern) -> tuple[int, ...]:
    """Return the votes of a pattern as YES, NO and SILENT."""
    return tuple(CODES[vote] for vote in pattern)


@dataclass(frozen=True)
class JudgeRates:
    """Rates of judges whose errors are independent given the truth.

    Attributes:
        base: share of rows whose truth is yes.
        rates: [truth, judge, outcome], truth and outcome by code: P(outcome | truth).
    """

    base: float
    rates: Any

    @classmethod
    def prior(cls, judges: int) -> "JudgeRates":
        """Return the rates that are assumed before any vote was seen."""
        import numpy as np

        right, voted = PANEL_AGREEMENT, 1 - _PRIOR_SILENCE
        rates = [[right, 1 - right], [1 - right, right]]
        each = np.array([[*(voted * rate for rate in pair), _PRIOR_SILENCE] for pair in rates])
        return cls(0.5, np.repeat(each[:, None, :], judges, 1))

    @classmethod
    def fit(cls, patterns: Mapping[Pattern, float], judges: int) -> "JudgeRates":
        """Return the most probable rates given counts of full vote patterns, and the prior."""
        import numpy as np

        fitted = prior = cls.prior(judges)
        if not patterns:
            return prior
        codes = np.array([coded(pattern) for pattern in patterns])
        rows = np.array(list(patterns.values()), float)
        cast = np.eye(3)[codes]  # [pattern, judge, outcome]
        for _ in range(_ROUNDS):
            before, yes = fitted, fitted._yes(codes)
            weights = np.array([rows * yes, rows * (1 - yes)])
            votes = np.einsum("tp,pjo->tjo", weights, cast) + _PRIOR_VOTES * prior.rates
            base = (weights[0].sum() + 1) / (rows.sum() + 2)
            fitted = cls(float(base), votes / votes.sum(2, keepdims=True))
            if np.abs(fitted.rates - before.rates).max() + abs(base - before.base) < _CHANGE:
                break
        return fitted

    def likelihoods(self, codes: Any) -> Any:
        """Return P(votes | truth), [truth, pattern], of votes [pattern, judge] without UNASKED."""
        import numpy as np

        judges = np.arange(codes.shape[1])
        return self.rates[:, judges, codes].prod(2)

    def right(self) -> list[tuple[float, float]]:
        """Return sensitivity P(yes | yes) and specificity P(no | no) of each judge, of the votes
        that it gives."""
        yes, no = (self.rates[truth, :, truth] / (1 - self.rates[truth, :, SILENT])
                   for truth in (YES, NO))  # fmt: skip
        return list(zip(yes.tolist(), no.tolist(), strict=True))

    def silent(self) -> list[float]:
        """Return the share of rows on which each judge abstains."""
        yes, no = self.rates[YES, :, SILENT], self.rates[NO, :, SILENT]
        shares: list[float] = (self.base * yes + (1 - self.base) * no).tolist()
        return shares

    def _yes(self, codes: Any) -> Any:
        yes, no = self.likelihoods(codes)
        return self.base * yes / (self.base * yes + (1 - self.base) * no)

    def posterior(self, votes: Sequence[int], prior: float | None = None) -> float:
        """Return P(truth is yes) after the votes of some judges.

        Args:
            votes: by judge, UNASKED where there is none.
            prior: P(yes) before the votes; by default the share of yes.
        """
        yes = self.base if prior is None else prior
        no = 1 - yes
        for judge, vote in enumerate(votes):
            if vote != UNASKED:
                yes *= float(self.rates[YES, judge, vote])
                no *= float(self.rates[NO, judge, vote])
        return yes / (yes + no)


def pattern_weights(patterns: Mapping[Pattern, int], rates: JudgeRates) -> Any:
    """Return the weight of every pattern of votes, [3] * judges by code: its count plus its share
    of pseudo-rows; their sum is the number of rows that the estimate rests on.

    The pseudo-rows are distributed as independent judges would vote, corrected in how often so many
    judges say yes and no together: rows of differing difficulty show there first.
    """
    import numpy as np

    judges = rates.rates.shape[1]
    shape = (3,) * judges
    codes = np.indices(shape).reshape(judges, -1).T
    counts = np.zeros(len(codes))
    for pattern, rows in patterns.items():
        counts[np.ravel_multi_index(coded(pattern), shape)] += rows
    expected = np.array([rates.base, 1 - rates.base]) @ rates.likelihoods(codes)
    totals = (codes == YES).sum(1) * (judges + 1) + (codes == NO).sum(1)
    size = (judges + 1) ** 2
    by_total = np.bincount(totals, expected, size)
    if patterns:
        seen = _smoothed(np.bincount(totals, counts, size), by_total)
        with np.errstate(invalid="ignore"):
            expected *= (seen / by_total)[totals] / seen.sum()
    return _smoothed(counts, expected).reshape(shape)


def _smoothed(counts: Any, expected: Any) -> Any:
    """Return counts plus pseudo-counts of the expected shares: fewer, the worse these shares
    explain the counts (geometric mean over the posterior of a Dirichlet prior's strength)."""
    import numpy as np
    from scipy.special import gammaln

    rows, possible = counts.sum(), expected > 0
    fits = []
    for strength in _STRENGTHS:
        pseudo = strength * expected[possible]
        fit = (gammaln(counts[possible] + pseudo) - gammaln(pseudo)).sum()
        fits.append(fit + gammaln(strength) - gammaln(rows + strength))
    weights = np.exp(np.array(fits) - max(fits))
    strength = np.exp(weights @ np.log(_STRENGTHS) / weights.sum())
    return counts + strength * expected
