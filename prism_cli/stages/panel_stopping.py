"""The stopping rule of a shard: which rows it is learned from, and what it saves and changes.

The rows are a random sample of the shard, on which every judge votes before any other row is
processed. So the rule, and with it every byte of the output, depends on the shard, the settings and
the replies, and not on the order in which replies come, nor on other shards. Rows are taken by the
hash that chooses audit rows, and count as such; a small shard has a larger share of them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import nsmallest
from math import sqrt
from typing import NamedTuple

from prism_cli.domain.agreement import Pattern, effective_counts
from prism_cli.domain.learned_rule import (
    FOLDS,
    LEAST_ROWS,
    AuditRow,
    CheckedRule,
    LearnedRule,
    expected_saving,
)
from prism_cli.domain.panel_model import CODES, NO, YES, JudgeRates
from prism_cli.domain.seeded_sample import seeded_hash
from prism_cli.domain.significance import LEVEL, exact_interval
from prism_cli.domain.voting import Poll, Vote
from prism_cli.rows.row import Row, asked_votes, doc_id, number_field, query_id, scores_field

STOPPING_FIELDS = ("teacher_prior", "posterior", "stop", "early_verdict", "early_votes_cast")
"""Fields that only this rule writes."""
DECIMALS = 4
NO_RULE = (
    f"fewer than {LEAST_ROWS} audit rows",
    "audit rows on which more verdicts changed than --risk",
    "too few rows for what further audit rows would cost",
)
"""Why a shard has no rule: its judges are asked until the verdict is settled."""
MOST_LEARNED = 2000
"""Most rows that a rule is learned from; further audit rows only measure it."""


def learned_rows(rows: int) -> int:
    """Return the number of rows, of so many, that a rule is learned from where that pays: 3 times
    the square root, at least LEAST_ROWS; 0 where that would be more than a quarter."""
    return max(LEAST_ROWS, int(3 * sqrt(rows))) if rows >= 4 * LEAST_ROWS else 0


def counted_score(row: Row, judges: Sequence[str]) -> float | None:
    """Return the teacher's score of a row, as far as it is no vote of one of the judges."""
    score, teachers = row.get("teacher_score"), row.get("teacher_scores") or {}
    for judge in judges:
        if any(judge == teacher or judge.startswith(f"{teacher}:") for teacher in teachers):
            return None
    return None if score is None else float(score)


def check_audit_row(row: Row) -> None:
    """Check the fields that `audit_rows` reads.

    Raises:
        RowError: names the field, such as `votes.source`.
    """
    asked_votes(row)
    number_field(row, "teacher_score", 0, 1)
    scores_field(row, "teacher_scores")


def audit_rows(
    rows: Iterable[tuple[Row, Collection[str]]], judges: Sequence[str], seed: int = 0
) -> tuple[dict[int, AuditRow], Counter[str]]:
    """Return what audit rows of an earlier output tell of these judges, by `_place`: the
    MOST_LEARNED of the smallest places. And on how many others each judge was not asked.

    Args:
        rows: each with the judges that are known to be asked beside those that it names: outputs
            of earlier versions have no `abstained`.
    """
    found: dict[int, AuditRow] = {}
    missing: Counter[str] = Counter()
    for row, panel in rows:
        if row.get("audit") is not True:
            continue
        votes = asked_votes(row)
        lacks = [judge for judge in judges if judge not in votes and judge not in panel]
        missing.update(lacks)
        if not lacks:
            place, pattern = _place(row, seed), tuple(votes.get(judge) for judge in judges)
            new = AuditRow(pattern, counted_score(row, judges), place % FOLDS)
            found[place] = min(new, found.get(place, new), key=repr)
        if len(found) >= 2 * MOST_LEARNED:
            found = dict(nsmallest(MOST_LEARNED, found.items()))
    return dict(nsmallest(MOST_LEARNED, found.items())), missing


def _place(row: Row, seed: int) -> int:
    """Return the place of a row in the random order in which rows are audited."""
    return seeded_hash(seed, "audit", query_id(row), doc_id(row))


class Stop(NamedTuple):
    """The end of a row.

    Attributes:
        verdict: the given one; None where the panel is undecided.
        fields: of the output row.
        counts: for `stopping_figures`.
    """

    verdict: Vote | None
    fields: dict[str, object]
    counts: dict[str, int]


class PanelStopping:
    """Learns the rule of a shard: `choose`, `learn` for each chosen row, `finish`; then ask with
    `next_judge` and `end`.

    Args:
        prices: of each judge of the panel, in the order of the votes; see `StoppingRule`.
        risk: largest accepted chance that the full panel's verdict is another one.
        audit: share of rows that are audited however many there are.
        teacher: whether the teacher's score is a vote that costs nothing.
        earlier: audit rows of an earlier output, by the same judges and seed; see `audit_rows`.
        judges: specs. A row does not count the score of a teacher that is one of them: it would
            vote twice.
    """

    def __init__(
        self,
        judges: Sequence[str],
        prices: Sequence[float],
        *,
        risk: float,
        audit: float,
        seed: int = 0,
        teacher: bool = False,
        earlier: Mapping[int, AuditRow] | None = None,
    ) -> None:
        self._earlier = earlier or {}
        self.prices, self._risk, self._audit, self._seed = prices, risk, audit, seed
        self.judges, self.teacher = judges, teacher
        self._learn_below = self._audit_below = 0
        self.audit_share = audit
        self._pays = True
        rows = list(self._earlier.values())
        self._saving = expected_saving(rows, len(prices), risk, prices)
        self._rows: list[tuple[int, AuditRow]] = []
        self._checked: CheckedRule | None = None
        self._reach: list[float] | None = None

    def choose(self, rows: Iterable[Row]) -> None:
        """Decide which rows of a shard are learned from."""
        count = 0

        def hashes() -> Iterable[int]:
            nonlocal count
            for row in rows:
                count += 1
                yield self._hash(row)

        smallest = nsmallest(MOST_LEARNED, hashes())
        new = [place for place in smallest if place not in self._earlier]
        missing = max(0, learned_rows(count) - len(self._earlier))
        more = max(0, missing - round(self._audit * count))
        self._pays = self.teacher or more * self._saving[1] <= (count - missing) * self._saving[0]
        if not self._pays:
            missing = 0
        chosen = smallest[: round(self._audit * count)], new[:missing]
        self._learn_below = max((places[-1] + 1 for places in chosen if places), default=0)
        self._audit_below = max(self._learn_below, int(self._audit * 2**64))
        drawn = sum(place < self._learn_below for place in smallest)
        self.audit_share = self._audit
        if drawn > round(self._audit * count):
            self.audit_share = drawn / count
        self._rows, self._checked = [], None

    def learns(self, row: Row) -> bool:
        """Return whether the rule is learned from a row."""
        return self._hash(row) < self._learn_below

    def is_audited(self, row: Row) -> bool:
        """Return whether every judge votes on a row."""
        return self._hash(row) < self._audit_below

    def learn(self, row: Row, pattern: Pattern) -> None:
        """Add a row that is learned from, with the votes of the panel."""
        place = self._hash(row)
        self._rows.append((place, AuditRow(pattern, self._score(row), place % FOLDS)))

    def finish(self) -> str:
        """Learn the rule; return why there is none, one of NO_RULE, or "". The order of the rows,
        which came as their replies did, is not used."""
        again = {place for place, _ in self._rows}
        earlier = [item for item in self._earlier.items() if item[0] not in again]
        rows = [row for _, row in sorted([*earlier, *self._rows], key=repr)]
        self._checked = CheckedRule(rows, len(self.prices), self._risk, self.prices)
        if self._checked.risk:
            return ""
        return NO_RULE[1] if len(rows) >= LEAST_ROWS else NO_RULE[0 if self._pays else 2]

    def reach(self) -> list[float]:
        """Return for each judge the probability that a row is asked of it, by what is known before
        a shard is begun: earlier audit rows, else that judges vote with the majority in
        PANEL_AGREEMENT."""
        if self._reach is None:
            known = CheckedRule(
                list(self._earlier.values()), len(self.prices), self._risk, self.prices
            )
            self._reach = known.rule.stopping.reach()
        return self._reach

    def next_judge(self, row: Row, votes: Sequence[int]) -> int | None:
        """Return the judge to ask after these votes, codes of `panel_model`; None to stop."""
        rule = self._rule_of(row)
        return rule.stopping.next_judge(votes, rule.prior(self._score(row)))

    def end(self, row: Row, poll: Poll, votes: Sequence[int], asked: int, *, audit: bool) -> Stop:
        """Return the verdict of a row whose asking has ended, and what its output says of that.

        Args:
            votes: all votes, as codes of `panel_model`.
            asked: number of judges that were asked now.
        """
        rule, score = self._rule_of(row), self._score(row)
        prior = rule.prior(score)
        fields: dict[str, object] = {}
        if prior is not None:
            fields["teacher_prior"] = round(prior, DECIMALS)
        fields["posterior"] = round(rule.stopping.rates.posterior(votes, prior), DECIMALS)
        fields["stop"] = stop = "audit" if audit else "settled" if poll.settled else "risk"
        counts = {stop: 1, f"{stop} asked": asked, "with a teacher": int(prior is not None)}
        if not audit:
            verdict = rule.stopping.verdict(votes, prior) if stop == "risk" else poll.verdict
            return Stop(verdict, fields, counts)
        names = {code: vote for vote, code in CODES.items()}
        early, needed = rule.replay(tuple(names[code] for code in votes), score)
        cast = sum(votes[judge] in (YES, NO) for judge in needed)
        fields |= {"early_verdict": early, "early_votes_cast": cast}
        counts |= {"changed": int(early != poll.verdict), "early asked": len(needed)}
        return Stop(poll.verdict, fields, counts)

    def _rule_of(self, row: Row) -> LearnedRule:
        assert self._checked is not None, "finish has not been called"
        if self.learns(row) or self._hash(row) in self._earlier:
            return self._checked.without(self._hash(row) % FOLDS)
        return self._checked.rule

    def _score(self, row: Row) -> float | None:
        return counted_score(row, self.judges) if self.teacher else None

    def _hash(self, row: Row) -> int:
        return _place(row, self._seed)


def stopping_figures(
    counts: Mapping[str, int],
    audited: Mapping[tuple[float | None, Pattern], int],
    replays: Mapping[tuple[float | None, tuple[int, int]], int],
    judges: Sequence[str],
    *,
    teacher: bool,
) -> dict[str, object]:
    """Return what the rule saved and changed, from the counts of all rows' `Stop`s.

    Verdicts that changed are counted on the audit rows, each replayed by a rule that was learned
    without it.

    Args:
        audited: counts of vote patterns of audit rows, as `effective_counts` takes them.
        replays: counts of (1 if the verdict changed, judges asked) of audit rows, likewise.
    """
    stops = {stop: counts.get(stop, 0) for stop in ("risk", "settled", "audit")}
    asked = {stop: counts.get(f"{stop} asked", 0) for stop in stops}
    early = effective_counts(replays)
    rows, audit_rows, replayed = sum(stops.values()), stops["audit"], sum(early.values())
    asked_early = sum(count * judges for (_, judges), count in early.items())
    figures: dict[str, object] = {
        "rows by what ended the asking": stops,
        "judgements a row": {
            "all rows": _share(sum(asked.values()), rows),
            "without audit rows": _share(asked["risk"] + asked["settled"], rows - audit_rows),
            "audit rows, as the rule asks": _share(asked_early, replayed),
        },
    }
    if without := {reason: counts[reason] for reason in NO_RULE if counts.get(reason)}:
        figures["shards without a rule, asked until the verdict was settled"] = without
    if teacher:
        with_score = counts.get("with a teacher", 0)
        figures["P(yes) before the votes, of rows"] = {
            "from the teacher's score": with_score,
            "the share of yes": rows - with_score,
        }
    if audit_rows:
        changed = sum(count * moved for (moved, _), count in early.items())
        low, high = exact_interval(changed, replayed)
        figures["changed verdicts on audit rows"] = {
            "rows": audit_rows,
            "changed": counts.get("changed", 0),
            "share": _share(changed, replayed),
            f"{LEVEL:.0%} from": round(low, DECIMALS),
            "to": round(high, DECIMALS),
        }
        rates = JudgeRates.fit(effective_counts(audited), len(judges))
        found = zip(judges, rates.right(), rates.silent(), strict=True)
        figures["judges, as their votes on audit rows tell"] = [
            {
                "judge": judge,
                "sensitivity": round(yes, 3),
                "specificity": round(no, 3),
                "abstains": round(silent, 3),
            }
            for judge, (yes, no), silent in found
        ]
    return figures


def _share(part: float, rows: float) -> float | None:
    return round(part / rows, DECIMALS) if rows else None
