"""Rates and agreement of judges, from counts of vote patterns.

Agreement is computed only on rows on which a judge was asked whatever the others had voted: the
audit rows, or else all rows, among the judges that voted on every one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from prism_cli.domain.agreement import (
    PairAgreement,
    Pattern,
    effective_counts,
    krippendorff_alpha,
    pair_agreement,
    yes_rate,
)
from prism_cli.domain.significance import wilson_interval

Votes = tuple[tuple[tuple[str, str | None], ...], str | None]
"""Votes by judge, and the corpus's own vote."""
VERDICT = "verdict"
"""Name of the panel beside its judges, in comparisons with the corpus's own label."""
_BY_JUDGE = ("yes_rate", "yes_rate_all_votes", "abstention_rate", "with_others", "with_majority")
"""Measures with one figure per judge; present without judges too."""
REMEDY = (
    "label some rows anew with every judge: `prism relabel --audit 0.02` asks all of them on 2 % "
    "of the rows, by lot, and takes the other votes from the ledger"
)
_NO_VOTES = "No row holds votes, so nothing can be said of the judges; `prism relabel` asks them."


@dataclass(frozen=True)
class Basis:
    """The rows on which agreement is computed.

    Attributes:
        kind: "audit", "full panel", "part of the panel" or "none".
        patterns: votes in the order of the judges, then the vote of the corpus's own label; with
            effective counts.
        indices: of the judges that have figures on these rows.
        warning: why figures are missing and what to do; "" if none are.
    """

    kind: str
    patterns: Mapping[Pattern, float]
    indices: frozenset[int]
    warning: str = ""

    @property
    def rows(self) -> int:
        """Number of rows; of one share, if rows were drawn with several, that tell as much."""
        return round(sum(self.patterns.values()))


class PanelVotes:
    """Counts rows with votes: call `add` for each, then `figures`. Memory grows with the judges."""

    def __init__(self) -> None:
        self._counts: Counter[Votes] = Counter()
        self._audited: Counter[tuple[float | None, Votes]] = Counter()

    def add(
        self,
        votes: Mapping[str, str | None],
        audit: bool,
        label: str | None,
        share: float | None = None,
    ) -> None:
        """Count one row: votes by judge, whether it is an audit row, the corpus's own vote, and the
        share of rows that was drawn for audit, if known."""
        key = tuple(votes.items()), label
        self._counts[key] += 1
        if audit:
            self._audited[share, key] += 1

    def figures(
        self, seed: int, verdicts: Mapping[Pattern, int]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the numbers of `labels`, and the content of `statistics`.

        Args:
            verdicts: counts of (verdict, vote of the corpus's label) over rows that have both.
        """
        judges, audited = self._judges(), effective_counts(self._audited)
        cast = _patterns(
            judges, {key: n for key, n in self._counts.items() if any(dict(key[0]).values())}
        )
        basis = _basis(judges, _patterns(judges, audited), cast)
        figures = _Figures(judges, basis, seed)
        figures.rates(cast, _asked(audited))
        figures.pairs()
        figures.others()
        figures.labels(pair_agreement(verdicts, 0, 1, seed=seed))
        figures.disputed(cast)
        return figures.numbers, figures.statistics

    def _judges(self) -> list[str]:
        """Return the judges in the panel's order, taken from the rows with most votes."""
        most_first = sorted((votes for votes, _ in self._counts), key=_cast, reverse=True)
        return list(dict.fromkeys(judge for votes in most_first for judge, _ in votes))


def _cast(votes: tuple[tuple[str, str | None], ...]) -> int:
    return sum(vote is not None for _, vote in votes)


def _patterns(judges: Sequence[str], counts: Mapping[Votes, float]) -> dict[Pattern, float]:
    patterns: defaultdict[Pattern, float] = defaultdict(float)
    for (votes, label), count in counts.items():
        by_judge = dict(votes)
        patterns[(*(by_judge.get(judge) for judge in judges), label)] += count
    return dict(patterns)


def _asked(audited: Mapping[Votes, float]) -> dict[str, float]:
    """Return the number of audit rows on whose panel each judge was.

    A row's panel is the judges that it names, and those that other audit rows name beside all of
    them: outputs of earlier versions name no judge that abstained.
    """
    rows: defaultdict[frozenset[str], float] = defaultdict(float)
    for (votes, _), count in audited.items():
        rows[frozenset(dict(votes))] += count
    asked: defaultdict[str, float] = defaultdict(float)
    for named, count in rows.items():
        for judge in frozenset[str]().union(*(panel for panel in rows if named <= panel)):
            asked[judge] += count
    return asked


def _basis(
    judges: Sequence[str], audited: Mapping[Pattern, float], cast: Mapping[Pattern, float]
) -> Basis:
    if judges and audited:
        return Basis("audit", audited, frozenset(range(len(judges))))
    if not cast:
        return Basis("none", {}, frozenset(), _NO_VOTES)
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
        limits = f"; figures are given only among {kept}, who voted on every row. To have all, "
        return Basis("part of the panel", cast, always, f"{why}{limits}{REMEDY}.")
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

    def rates(self, cast: Mapping[Pattern, float], asked: Mapping[str, float]) -> None:
        """Shares of yes, by judge, and of abstentions on the audit rows of its panel."""
        for name, patterns, places in (
            ("yes_rate", self.basis.patterns, self.basis.indices),
            ("yes_rate_all_votes", cast, frozenset(range(len(self.judges)))),
        ):
            for place, judge in enumerate(self.judges):
                votes, rate = yes_rate(patterns, place) if place in places else (0, None)
                self._rate(name, judge, rate, votes)
        for place, judge in enumerate(self.judges):
            rows = asked[judge] if self.basis.kind == "audit" else 0
            votes = yes_rate(self.basis.patterns, place)[0] if rows else 0
            self._share("abstention_rate", judge, round(rows - votes, 9), rows)

    def pairs(self) -> None:
        """Kappa of each pair of judges, alpha of all judges."""
        self.numbers |= {"kappa": {}, "same_vote": {}}
        for first, second in combinations(range(len(self.judges)), 2):
            measurable = {first, second} <= self.basis.indices
            agreement = self._pair(first, second) if measurable else None
            key = f"{self.judges[first]} | {self.judges[second]}"
            self._kappa("kappa", "same_vote", key, agreement)
        everyone = len(self.basis.indices) == len(self.judges) > 1
        patterns: defaultdict[Pattern, float] = defaultdict(float)
        for votes, count in self.basis.patterns.items() if everyone else ():
            patterns[votes[:-1]] += count
        alpha = krippendorff_alpha(patterns, seed=self._seed)
        self.numbers["alpha"] = alpha.value
        self.statistics["intervals"]["alpha"] = _span(alpha.low, alpha.high)
        self.statistics["counts"]["alpha"] = alpha.rows
        self.statistics["words"]["alpha"] = alpha.in_words

    def others(self) -> None:
        """Agreement of each judge with the others, one by one, and with their majority."""
        for place, judge in enumerate(self.judges):
            same = both = agreed = decided = 0.0
            measurable = place in self.basis.indices
            for votes, count in self._measurable_votes() if measurable else ():
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
        """Agreement of each judge, and of the panel, with the corpus's own label."""
        label = len(self.judges)
        agreements = {
            judge: self._pair(place, label) if place in self.basis.indices else None
            for place, judge in enumerate(self.judges)
        }
        for name, agreement in [*agreements.items(), (VERDICT, verdict)]:
            self._kappa("kappa_with_source_label", "with_source_label", name, agreement)

    def disputed(self, cast: Mapping[Pattern, float]) -> None:
        """Share of rows with differing votes, among rows with at least two votes."""
        complete = self.basis.patterns if self.basis.kind in ("audit", "full panel") else {}
        for name, patterns in (("disputed", complete), ("disputed_all_votes", cast)):
            rows = disputed = 0.0
            for pattern, count in patterns.items():
                votes = [vote for vote in pattern[:-1] if vote]
                rows += count * (len(votes) > 1)
                disputed += count * (len(set(votes)) > 1)
            self._share(name, "", disputed, rows)

    def _measurable_votes(self) -> Iterator[tuple[Pattern, float]]:
        """Yield patterns without the votes of judges that have no figures on these rows."""
        for pattern, count in self.basis.patterns.items():
            votes = (
                vote if at in self.basis.indices else None for at, vote in enumerate(pattern[:-1])
            )
            yield tuple(votes), count

    def _pair(self, first: int, second: int) -> PairAgreement:
        return pair_agreement(self.basis.patterns, first, second, seed=self._seed)

    def _kappa(self, name: str, shares: str, key: str, pair: PairAgreement | None) -> None:
        statistics, pair = self.statistics, pair or PairAgreement(0, None, None)
        self._put(name, key, pair.kappa, _span(pair.low, pair.high), pair.rows)
        statistics["words"].setdefault(name, {})[key] = pair.in_words
        self._rate(shares, key, pair.share, pair.rows)

    def _share(
        self, name: str, key: str, part: float, rows: float, *, interval: bool = True
    ) -> None:
        self._rate(name, key, part / rows if rows else None, rows, interval=interval)

    def _rate(
        self, name: str, key: str, rate: float | None, rows: float, *, interval: bool = True
    ) -> None:
        span = list(wilson_interval(rate * rows, rows)) if rate is not None and interval else None
        self._put(name, key, rate, span, round(rows))

    def _put(
        self, name: str, key: str, value: float | None, span: list[float] | None, rows: int
    ) -> None:
        """Store figures under `name`, at `key`; the key is "" for a measure without keys."""
        intervals, counts = self.statistics["intervals"], self.statistics["counts"]
        for target, figure in ((self.numbers, value), (intervals, span), (counts, rows)):
            if key:
                target.setdefault(name, {})[key] = figure
            else:
                target[name] = figure


def _span(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]
