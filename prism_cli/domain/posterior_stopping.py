"""When a panel need not be asked further: another verdict of the full panel is improbable.

`StoppingRule` knows for every state of a row (the votes so far) whether to stop, and otherwise
which judge to ask next: the one with which the expected cost until the stop is lowest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prism_cli.domain.agreement import Pattern
from prism_cli.domain.defaults import ATTEMPTS
from prism_cli.domain.panel_model import (
    CODES,
    NO,
    UNASKED,
    YES,
    JudgeRates,
    coded,
    pattern_weights,
)
from prism_cli.domain.voting import Vote, majority

_MARGIN, _MARGIN_ROWS = 0.5, 25
"""Standard errors that are added to an estimated chance before it is compared with the risk: .5 and
25 / audit rows. tests/benchmarks/posterior_stopping.py shows what they are good for."""
_ORDER_TOLERANCE = 0.01
"""A judge further down the panel is asked first if that saves a larger share of the cost."""
_PRIOR_STEP, _PRIOR_END = 0.125, 6.0
"""Priors are rounded towards .5 on this grid of log odds, for each of which there is one plan."""

_VERDICTS: tuple[Vote | None, ...] = ("yes", "no", None)


@dataclass(frozen=True)
class _Plan:
    """The next step in each state, arrays [4] * judges by code.

    Attributes:
        ask: next judge; -1 to stop.
        verdict: index of the most probable verdict of the full panel.
    """

    ask: Any
    verdict: Any


class StoppingRule:
    """Rule of one panel, learned from audit rows.

    Args:
        patterns: counts of the votes of the whole panel on audit rows.
        judges: size of the panel, from 2 to `defaults.LARGEST_LEARNED_PANEL`.
        risk: largest accepted chance of another verdict; 0 asks in the order of the panel until
            the verdict is settled.
        prices: cost of a request to each judge, in any unit; by default equal.
    """

    def __init__(
        self,
        patterns: Mapping[Pattern, int],
        judges: int,
        risk: float,
        prices: Sequence[float] | None = None,
    ) -> None:
        self.rates = JudgeRates.fit(patterns, judges)
        self.risk = risk
        self._patterns = patterns
        self.audited = sum(patterns.values())
        self._judges = judges
        self._prices = [
            price * (1 + (ATTEMPTS - 1) * silent)  # a reply that is no vote is requested again
            for price, silent in zip(prices or [1.0] * judges, self.rates.silent(), strict=True)
        ]
        self._plans: dict[int | None, _Plan] = {}

    def next_judge(self, votes: Sequence[int], prior: float | None = None) -> int | None:
        """Return the judge to ask after these votes; None to stop.

        Args:
            votes: by judge, as codes of `panel_model`, UNASKED where there is none.
            prior: P(yes) before the votes; None for the share of yes on audit rows.
        """
        judge = int(self._plan(prior).ask[tuple(votes)])
        return None if judge < 0 else judge

    def verdict(self, votes: Sequence[int], prior: float | None = None) -> Vote | None:
        """Return the most probable verdict of the full panel."""
        return _VERDICTS[int(self._plan(prior).verdict[tuple(votes)])]

    def replay(self, pattern: Pattern, prior: float | None = None) -> tuple[Vote | None, list[int]]:
        """Return the verdict that the rule gives to a row with these votes, and the judges that it
        asks, in order."""
        full, votes = coded(pattern), [UNASKED] * self._judges
        asked: list[int] = []
        while (judge := self.next_judge(votes, prior)) is not None:
            votes[judge] = full[judge]
            asked.append(judge)
        return self.verdict(votes, prior), asked

    def reach(self) -> list[float]:
        """Return for each judge the probability that a row is asked of it."""
        import numpy as np

        shares, names = [0.0] * self._judges, {code: vote for vote, code in CODES.items()}
        for codes, weight in np.ndenumerate(self._weights):
            for judge in self.replay(tuple(names[code] for code in codes))[1]:
                shares[judge] += weight / self._weights.sum()
        return [float(share) for share in shares]

    @cached_property
    def _weights(self) -> Any:
        return pattern_weights(self._patterns, self.rates)

    def _plan(self, prior: float | None) -> _Plan:
        level = None if prior is None else _level(prior)
        plan = self._plans.get(level)
        if plan is None:
            plan = self._plans[level] = self._make_plan(level)
        return plan

    def _make_plan(self, level: int | None) -> _Plan:
        import numpy as np

        judges, weights = self._judges, self._weights
        codes = np.indices(weights.shape)
        if level is not None:
            weights = weights * self._shift(codes, level)
        yes, no = ((codes == vote).sum(0) >= majority(judges) for vote in (YES, NO))
        masses = np.array([_with_totals(weights * kept) for kept in (yes, no, ~(yes | no))])
        total = masses.sum(0)
        ranked = np.sort(masses, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            chance = np.nan_to_num((ranked[0] + ranked[1]) / total)
        margin = _MARGIN + _MARGIN_ROWS / max(1, self.audited)
        bound = chance + margin * np.sqrt(chance * (1 - chance) / (total + 1))
        state = np.indices(total.shape)
        voted = ((state == YES) | (state == NO)).any(0)
        stop = (chance == 0) | (voted & (bound <= self.risk))
        if self.risk:
            ask = _cheapest_order(stop, total, self._prices)
        else:
            ask = np.where(stop, -1, (state == UNASKED).argmax(0))
        return _Plan(ask, masses.argmax(0))

    def _shift(self, codes: Any, level: int) -> Any:
        """Return by how much a prior makes each pattern more frequent than the share of yes does:
        the prior is independent of the votes given the truth."""
        prior, base = _probability(level), self.rates.base
        flat = codes.reshape(len(codes), -1).T
        yes, no = self.rates.likelihoods(flat)
        before = base * yes + (1 - base) * no
        return ((prior * yes + (1 - prior) * no) / before).reshape(codes.shape[1:])


def _with_totals(weights: Any) -> Any:
    """Return the weight of every state, [4] * judges: UNASKED is the sum over what the judge may
    say."""
    import numpy as np

    for judge in range(weights.ndim):
        weights = np.concatenate([weights, weights.sum(judge, keepdims=True)], judge)
    return weights


def _cheapest_order(stop: Any, total: Any, prices: Sequence[float]) -> Any:
    """Return the judge to ask in each state, -1 to stop: that of the lowest expected cost until the
    stop, by backward induction from the states with one judge left."""
    import numpy as np

    judges, weights = total.ndim, total.ravel()
    ask, cost = np.full(weights.shape, -1), np.zeros(weights.shape)
    going = np.flatnonzero(~stop)
    unasked = np.array(np.unravel_index(going, total.shape)) == UNASKED
    left = unasked.sum(0)
    for count in range(1, judges + 1):
        states, able = going[left == count], unasked[:, left == count]
        costs = np.full(able.shape, np.inf)
        for judge, price in enumerate(prices):
            here, step = states[able[judge]], 4 ** (judges - 1 - judge)
            after = [here - step * (UNASKED - vote) for vote in range(UNASKED)]
            spent = sum(weights[state] * cost[state] for state in after)
            costs[judge, able[judge]] = price + spent / weights[here]
        chosen = (costs <= costs.min(0) * (1 + _ORDER_TOLERANCE)).argmax(0)
        ask[states], cost[states] = chosen, costs[chosen, np.arange(len(states))]
    return ask.reshape(total.shape)


def _level(prior: float) -> int:
    odds = math.log(prior / (1 - prior))
    return int(max(-_PRIOR_END, min(_PRIOR_END, odds)) / _PRIOR_STEP)  # towards 0


def _probability(level: int) -> float:
    return 1 / (1 + math.exp(-level * _PRIOR_STEP))
