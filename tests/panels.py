"""Panels of simulated judges as exact distributions: vote pattern -> probability."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product

from prism_cli.domain.agreement import Pattern
from prism_cli.domain.learned_rule import full_verdict
from prism_cli.domain.posterior_stopping import StoppingRule

Panel = Mapping[Pattern, float]


def _panel(size: int, base: float, chance: Callable[[Pattern, str], float]) -> Panel:
    """Sum over both truths, yes with probability `base`."""
    patterns = list(product(("yes", "no"), repeat=size))
    return {
        pattern: base * chance(pattern, "yes") + (1 - base) * chance(pattern, "no")
        for pattern in patterns
    }


def independent(*right: float, base: float = 0.5) -> Panel:
    """Judges that are right with these probabilities, whatever the others say."""

    def chance(pattern: Pattern, truth: str) -> float:
        value = 1.0
        for vote, probability in zip(pattern, right, strict=True):
            value *= probability if vote == truth else 1 - probability
        return value

    return _panel(len(right), base, chance)


def mixed(*parts: tuple[float, Panel]) -> Panel:
    """Rows of several kinds, each with its share, such as easy and hard ones."""
    return {pattern: sum(share * part[pattern] for share, part in parts) for pattern in parts[0][1]}


def copying(right: float, first: int, second: int, share: float, size: int = 5) -> Panel:
    """Judges of which `second` repeats the vote of `first` in a share of the rows."""

    def chance(pattern: Pattern, truth: str) -> float:
        value = 1.0
        for judge, vote in enumerate(pattern):
            own = right if vote == truth else 1 - right
            if judge == second:
                own = share * (vote == pattern[first]) + (1 - share) * own
            value *= own
        return value

    return _panel(size, 0.5, chance)


def families(right: float, groups: Sequence[Sequence[int]], share: float, together: float) -> Panel:
    """Judges of which, in a share of the rows for each group, those of the group are right only
    with probability `together`."""
    parts = [(1 - share * len(groups), independent(*[right] * 5))]
    for group in groups:
        rates = [together if judge in group else right for judge in range(5)]
        parts.append((share, independent(*rates)))
    return mixed(*parts)


PANELS: dict[str, Panel] = {
    "independent, .95": independent(*[0.95] * 5),
    "independent, .92": independent(*[0.92] * 5),
    "independent, .92, a fifth yes": independent(*[0.92] * 5, base=0.2),
    "independent, .83": independent(*[0.83] * 5),
    "independent, .75": independent(*[0.75] * 5),
    "independent, .95 .90 .85 .80 .75": independent(0.95, 0.90, 0.85, 0.80, 0.75),
    "independent, .75 .80 .85 .92 .97": independent(0.75, 0.80, 0.85, 0.92, 0.97),
    "a fifth of the rows hard: .64, else .99": mixed(
        (0.8, independent(*[0.99] * 5)), (0.2, independent(*[0.64] * 5))
    ),
    "a tenth of the rows hard: .55, else .96": mixed(
        (0.9, independent(*[0.96] * 5)), (0.1, independent(*[0.55] * 5))
    ),
    "one row in 20 misleads all: .15, else .95": mixed(
        (0.95, independent(*[0.95] * 5)), (0.05, independent(*[0.15] * 5))
    ),
    "the second copies the first in .3": copying(0.92, 0, 1, 0.3),
    "the second copies the first in .5": copying(0.92, 0, 1, 0.5),
    "the second copies the first in .8": copying(0.92, 0, 1, 0.8),
    "two pairs that err together in .03": families(0.95, [(0, 1), (2, 3)], 0.03, 0.1),
    "three and two that err together in .03": families(0.95, [(0, 1, 2), (3, 4)], 0.03, 0.2),
}


def drawn(panel: Panel, rows: int, seed: int) -> Counter[Pattern]:
    """Return counts of the patterns of random rows."""
    chosen = random.Random(seed).choices(list(panel), list(panel.values()), k=rows)
    return Counter(chosen)


def outcome(rule: StoppingRule, panel: Panel, prior: float | None = None) -> tuple[float, float]:
    """Return the judgements a row under a rule, and the share of rows whose verdict is another than
    the full panel's: exactly, over all patterns."""
    calls = changed = 0.0
    for pattern, chance in panel.items():
        verdict, asked = rule.replay(pattern, prior)
        calls += chance * len(asked)
        changed += chance * (verdict != full_verdict(pattern))
    return calls, changed
