"""What the judges' votes come to: counts of vote patterns to rates and agreement.

Agreement is only told of rows on which the judges were asked whatever the others said: audit rows,
else, of judges that voted on every row, all rows.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from prism_cli.domain.agreement import (
    PairAgreement,
    Pattern,
    krippendorff_alpha,
    pair_agreement,
    yes_rate,
)
from prism_cli.domain.significance import wilson_interval

VERDICT = "verdict"
"""Stands for the panel beside its judges, where they are compared with the corpus's own label."""
_BY_JUDGE = ("yes_rate", "yes_rate_all_votes", "abstention_rate", "with_others", "with_majority")
"""Measures with a figure a judge: there without judges too."""
REMEDY = (
    "label some rows anew with every judge: `prism relabel --audit 0.02` asks all of them on 2 % "
    "of the rows, by lot, and takes the other votes from the ledger"
)
_NO_VOTES = "No row holds votes, so nothing can be said of the judges; `prism relabel` asks them."


@dataclass(frozen=True)
class Basis:
    """The rows that agreement is told of.

    Attributes:
        kind: "audit", "full panel", "part of the panel" or "none".
        patterns: votes in the order of the judges, then the vote of the corpus's own label.
        places: of the judges whose figures these rows can tell.
        warning: why figures are missing and what to do; "" where none are.
    """

    kind: str
    patterns: Mapping[Pattern, int]
    places: frozenset[int]
    warning: str = ""

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(self.patterns.values())


class PanelVotes:
    """Counts rows with votes: `add` each, then `figures`. Memory grows with the judges alone."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[bool, tuple[tuple[str, str | None], ...], str | None]] = (
            Counter()
        )

    def add(self, votes: Mapping[str, str | None], audit: bool, label: str | None) -> None:
        """One row: votes by judge, whether all were asked by lot, the corpus's own vote."""
        self._counts[audit, tuple(votes.items()), label] += 1

    def figures(
        self, seed: int, verdicts: Mapping[Pattern, int]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Plain numbers for `labels`, and what stands under `statistics`.

        Args:
            verdicts: counts of (verdict, the corpus's own vote), of rows that have both.
        """
        judges = self._judges()
        cast = self._patterns(judges, audit_only=False)
        basis = self._basis(judges, cast)
        found = _Figures(judges, basis, seed)
        found.rates(cast)
        found.pairs()
        found.others()
        found.labels(pair_agreement(verdicts, 0, 1, seed=seed))
        found.disputed(cast)
        return found.numbers, found.statistics

    def _judges(self) -> list[str]:
        """In the panel's order, as the rows with most votes have it."""
        most_first = sorted((votes for _, votes, _ in self._counts), key=len, reverse=True)
        return list(dict.fromkeys(judge for votes in most_first for judge, _ in votes))

    def _patterns(self, judges: Sequence[str], *, audit_only: bool) -> Counter[Pattern]:
        found: Counter[Pattern] = Counter()
        for (audit, votes, label), count in self._counts.items():
            by_judge = dict(votes)
            if (audit or not audit_only) and any(by_judge.values()):
                found[(*(by_judge.get(judge) for judge in judges), label)] += count
        return found

    def _basis(self, judges: Sequence[str], cast: Counter[Pattern]) -> Basis:
        if not cast:
            return Basis("none", {}, frozenset(), _NO_VOTES)
        audited = self._patterns(judges, audit_only=True)
        if audited:
            return Basis("audit", audited, frozenset(range(len(judges))))
        always = frozenset(
            place for place in range(len(judges)) if all(pattern[place] for pattern in cast)
        )
        if len(always) == len(judges):
            return Basis("full panel", cast, always)
        rest = ", ".join(judge for place, judge in enumerate(judges) if place not in always)
        why = (
            "No row is marked `audit`, and the panel stopped early or some judges abstained: "
            f"{rest} did not vote on all of the rows. The rows where they did are those that the "
            "judges before them left open, so agreement told from them would be too low"
        )
        if len(always) > 1:
            kept = ", ".join(judge for place, judge in enumerate(judges) if place in always)
            told = f"; figures are given only among {kept}, who voted on every row. To have all, "
            return Basis("part of the panel", cast, always, f"{why}{told}{REMEDY}.")
        return Basis("none", {}, frozenset(), f"{why}; no figure is given. To have them, {REMEDY}.")


class _Figures:
    """Fills `numbers` and `statistics`, measure by measure."""

    def __init__(self, judges: Sequence[str], basis: Basis, seed: int) -> None:
        self.judges, self.basis, self._seed = judges, basis, seed
        self.numbers: dict[str, Any] = {name: {} for name in _BY_JUDGE}
        self.statistics: dict[str, Any] = {
            "basis": {"kind": basis.kind, "rows": basis.rows, "warning": basis.warning},
            "judges": list(judges),
            "intervals": {name: {} for name in _BY_JUDGE},
            "counts": {name: {} for name in _BY_JUDGE},
            "words": {},
        }

    def rates(self, cast: Mapping[Pattern, int]) -> None:
        """How often each judge says yes and abstains."""
        for name, patterns, places in (
            ("yes_rate", self.basis.patterns, self.basis.places),
            ("yes_rate_all_votes", cast, frozenset(range(len(self.judges)))),
        ):
            for place, judge in enumerate(self.judges):
                votes, rate = yes_rate(patterns, place) if place in places else (0, None)
                self._share(name, judge, round((rate or 0) * votes), votes)
        for place, judge in enumerate(self.judges):
            rows = self.basis.rows if self.basis.kind == "audit" else 0
            votes = yes_rate(self.basis.patterns, place)[0] if rows else 0
            self._share("abstention_rate", judge, rows - votes, rows)

    def pairs(self) -> None:
        """Kappa of every two judges, alpha of all."""
        self.numbers |= {"kappa": {}, "same_vote": {}}
        for one, other in combinations(range(len(self.judges)), 2):
            known = {one, other} <= self.basis.places
            found = self._pair(one, other) if known else None
            self._kappa("kappa", "same_vote", f"{self.judges[one]} | {self.judges[other]}", found)
        everyone = len(self.basis.places) == len(self.judges) > 1
        patterns: Counter[Pattern] = Counter()
        for votes, count in self.basis.patterns.items() if everyone else ():
            patterns[votes[:-1]] += count
        alpha = krippendorff_alpha(patterns, seed=self._seed)
        self.numbers["alpha"] = alpha.value
        self.statistics["intervals"]["alpha"] = _span(alpha.low, alpha.high)
        self.statistics["counts"]["alpha"] = alpha.rows
        self.statistics["words"]["alpha"] = alpha.in_words

    def others(self) -> None:
        """Each judge with the others, one by one, and with what most of them say."""
        for place, judge in enumerate(self.judges):
            same = both = agreed = decided = 0
            known = place in self.basis.places
            for votes, count in self._known_votes() if known else ():
                vote = votes[place]
                rest = [other for at, other in enumerate(votes) if at != place and other]
                if vote is None or not rest:
                    continue
                same += count * rest.count(vote)
                both += count * len(rest)
                lead = 2 * rest.count("yes") - len(rest)
                decided += count * (lead != 0)
                agreed += count * (lead != 0 and (lead > 0) == (vote == "yes"))
            self._share("with_others", judge, same, both, interval=False)
            self._share("with_majority", judge, agreed, decided)

    def labels(self, verdict: PairAgreement) -> None:
        """Each judge, and the panel, with the corpus's own label."""
        label = len(self.judges)
        found = {
            judge: self._pair(place, label) if place in self.basis.places else None
            for place, judge in enumerate(self.judges)
        }
        for name, one in [*found.items(), (VERDICT, verdict)]:
            self._kappa("kappa_with_source_label", "with_source_label", name, one)

    def disputed(self, cast: Mapping[Pattern, int]) -> None:
        """Shares of rows, with two votes or more, whose votes are not all the same."""
        whole = self.basis.patterns if self.basis.kind in ("audit", "full panel") else {}
        for name, patterns in (("disputed", whole), ("disputed_all_votes", cast)):
            rows = disputed = 0
            for pattern, count in patterns.items():
                votes = [vote for vote in pattern[:-1] if vote]
                rows += count * (len(votes) > 1)
                disputed += count * (len(set(votes)) > 1)
            self._share(name, "", disputed, rows)

    def _known_votes(self) -> Iterator[tuple[Pattern, int]]:
        """Patterns without the votes of judges that these rows cannot tell of."""
        for pattern, count in self.basis.patterns.items():
            known = (
                vote if at in self.basis.places else None for at, vote in enumerate(pattern[:-1])
            )
            yield tuple(known), count

    def _pair(self, one: int, other: int) -> PairAgreement:
        return pair_agreement(self.basis.patterns, one, other, seed=self._seed)

    def _kappa(self, name: str, shares: str, key: str, found: PairAgreement | None) -> None:
        statistics, found = self.statistics, found or PairAgreement(0, None, None)
        self._put(name, key, found.kappa, _span(found.low, found.high), found.rows)
        statistics["words"].setdefault(name, {})[key] = found.in_words
        self._share(shares, key, round((found.share or 0) * found.rows), found.rows)

    def _share(self, name: str, key: str, part: int, rows: int, *, interval: bool = True) -> None:
        span = list(wilson_interval(part, rows)) if rows and interval else None
        self._put(name, key, part / rows if rows else None, span, rows)

    def _put(
        self, name: str, key: str, value: float | None, span: list[float] | None, rows: int
    ) -> None:
        """Under `name`, at `key`; "" for a measure without keys."""
        intervals, counts = self.statistics["intervals"], self.statistics["counts"]
        for place, one in ((self.numbers, value), (intervals, span), (counts, rows)):
            if key:
                place.setdefault(name, {})[key] = one
            else:
                place[name] = one


def _span(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]
