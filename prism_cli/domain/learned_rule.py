"""A stopping rule learned from audit rows, and what it would have said about these rows.

What a row decided itself would flatter the rule: each row is replayed by a rule that was learned
from the other folds of the rows.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from operator import mul
from typing import NamedTuple

from prism_cli.domain.agreement import Pattern
from prism_cli.domain.panel_model import coded
from prism_cli.domain.posterior_stopping import StoppingRule
from prism_cli.domain.teacher_prior import TeacherPrior
from prism_cli.domain.voting import Vote, majority

FOLDS = 5
LEAST_ROWS = 75
"""Audit rows below which nothing is known: judges are asked until the verdict is settled."""
_STEPS = (1.0, 0.25, 0.0)
"""Shares of the risk that are tried, until the audit rows do not contradict it."""
_DOUBT = 0.05
"""Probability of as many changed verdicts below which they contradict the risk."""

_RIGHT = 0.95
"""Assumed share of right votes of unknown judges, to tell whether audit rows would pay: weaker ones
save less, and do not pay in any shard."""
_OF_FEW_ROWS = 0.6
"""Share of the saving of a rule that knows the panel which one of 75 to 94 audit rows has: .55 to
.86 on simulated panels of several prices."""


class AuditRow(NamedTuple):
    """Votes of the whole panel on a row, its teacher score if that counts, and its fold."""

    pattern: Pattern
    score: float | None
    fold: int


def full_verdict(pattern: Pattern) -> Vote | None:
    """Return the verdict of the full panel."""
    needed = majority(len(pattern))
    return next((vote for vote in ("yes", "no") if pattern.count(vote) >= needed), None)


class LearnedRule:
    """Stopping rule with P(yes | teacher score).

    Args:
        rows: what it is learned from; may be empty.
        judges, risk, prices: as for `StoppingRule`.
    """

    def __init__(
        self, rows: Sequence[AuditRow], judges: int, risk: float, prices: Sequence[float]
    ) -> None:
        self.stopping = StoppingRule(Counter(row.pattern for row in rows), judges, risk, prices)
        self._prior = None
        scored = [row for row in rows if row.score is not None]
        if scored and self.stopping.risk:
            yes = [self.stopping.rates.posterior(coded(row.pattern)) for row in scored]
            self._prior = TeacherPrior.fit(
                [row.score for row in scored if row.score is not None], yes
            )

    def prior(self, score: float | None) -> float | None:
        """Return P(yes | score); None where there is no score, or too few rows to tell."""
        return None if score is None or self._prior is None else self._prior.probability(score)

    def replay(self, pattern: Pattern, score: float | None) -> tuple[Vote | None, list[int]]:
        """Return as `StoppingRule.replay`."""
        return self.stopping.replay(pattern, self.prior(score))


class CheckedRule:
    """A learned rule whose risk the audit rows do not contradict.

    Attributes:
        rule: for rows that it was not learned from.
        risk: of the rule; lower than asked for where verdicts of audit rows changed too often.
    """

    def __init__(
        self, rows: Sequence[AuditRow], judges: int, risk: float, prices: Sequence[float]
    ) -> None:
        from scipy.stats import binom

        self._rows, self._judges, self._prices = rows, judges, prices
        for step in _STEPS if len(rows) >= LEAST_ROWS else _STEPS[-1:]:
            self.risk = risk * step
            self._folds: dict[int, LearnedRule] = {}
            changed = sum(
                self.without(row.fold).replay(row.pattern, row.score)[0]
                != full_verdict(row.pattern)
                for row in rows
            )
            if binom.sf(changed - 1, len(rows), risk) >= _DOUBT:
                break

    @cached_property
    def rule(self) -> LearnedRule:
        """The rule that all rows were taken for."""
        return LearnedRule(self._rows, self._judges, self.risk, self._prices)

    def without(self, fold: int) -> LearnedRule:
        """Return the rule that is learned without the rows of a fold."""
        if fold not in self._folds:
            rows = [row for row in self._rows if row.fold != fold]
            self._folds[fold] = LearnedRule(rows, self._judges, self.risk, self._prices)
        return self._folds[fold]


def expected_saving(
    rows: Sequence[AuditRow], judges: int, risk: float, prices: Sequence[float]
) -> tuple[float, float]:
    """Return what a rule is expected to save on a row, and what an audit row costs more than one
    that is asked without a rule.

    Args:
        rows: audit rows of these judges; may be empty.
        judges, risk, prices: as for `StoppingRule`.
    """
    known = Counter(row.pattern for row in rows)
    for pattern in () if known else product(("yes", "no"), repeat=judges):
        votes = [pattern.count(vote) for vote in ("yes", "no")]
        chances = (_RIGHT**right * (1 - _RIGHT) ** (judges - right) for right in votes)
        known[pattern] = round(1e4 * sum(chances))
    with_rule, without = (
        sum(map(mul, prices, StoppingRule(known, judges, least, prices).reach()))
        for least in (risk, 0.0)
    )
    return _OF_FEW_ROWS * (without - with_rule), sum(prices) - without
