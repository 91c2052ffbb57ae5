"""A panel of judges on every row, asked one after another until the verdict is settled."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from prism_cli.domain.agreement import Pattern, audit_figures
from prism_cli.domain.label_answers import same_answer_warning
from prism_cli.domain.seeded_sample import is_sampled
from prism_cli.domain.voting import (
    PANEL_AGREEMENT,
    Poll,
    Vote,
    mean_verdict,
    reach_probabilities,
)
from prism_cli.engine.stage import Questions, RowStage
from prism_cli.ports import BatchBackend, CallBackend, RowWork, request
from prism_cli.rows.row import (
    Row,
    check_pair,
    doc_id,
    document_text,
    query_id,
    scores_field,
    votes_field,
)
from prism_cli.rows.texts import is_blank
from prism_cli.shards.paid_rows import PaidRows, PaidValue, note_origins
from prism_cli.stages.asking import asked_again
from prism_cli.wording import counted

MOST_REASONS, SHOWN_REASONS = 1000, 10
"""Why judges abstained: how many reasons are told apart, and how many the summary names."""


@runtime_checkable
class RowJudge(Protocol):
    """A judge that finds its vote in the row."""

    @property
    def spec(self) -> str:
        """Names its votes."""

    def vote(self, row: Row) -> Vote | None:
        """None is an abstention. Raises RowError where the row cannot be judged."""


Judge = RowJudge | BatchBackend | CallBackend
"""A backend's payload is ((query, document text), attempt); its refusal is an abstention."""


class RelabelStage(RowStage):
    """Writes votes, votes_cast, verdict and agreement; vote_probabilities where judges give them.

    Args:
        judges: the panel, cheapest first; no two with one spec.
        audit: share of rows, chosen by hash of (seed, query_id, doc_id), on which every judge
            votes, so that agreement between judges can be measured without the bias of stopping.
        soft: every judge is asked, and the mean of their probabilities decides.
        added: specs of judges that vote on every row, before those that have not voted yet; the
            votes that rows bring along are kept.
        paid: votes that are paid for already; and verdicts that name no judge, which stand for the
            whole panel where no vote of it is known.
    """

    name = "relabel"
    counted = ("_verdicts", "_votes", "_audited", "_silent", "_taken", "_blank")

    def __init__(
        self,
        judges: Sequence[Judge],
        *,
        audit: float = 0.0,
        seed: int = 0,
        soft: bool = False,
        added: Sequence[str] = (),
        paid: PaidRows | None = None,
    ) -> None:
        # A look at the protocol costs more than the vote: once a judge, not once a row.
        self._panel = [
            (one.spec, one.vote, None) if isinstance(one, RowJudge) else (one.spec, None, one)
            for one in sorted(judges, key=lambda one: one.spec not in added)
        ]
        self._order = [one.spec for one in judges]
        self._audit = audit if len(self._panel) > 1 else 0.0
        self._seed = seed
        self._soft = soft
        self._added = frozenset(added)
        self._paid = paid
        self._verdicts: Counter[str] = Counter()
        self._votes: dict[str, Counter[str]] = {one.spec: Counter() for one in judges}
        self._audited: Counter[Pattern] = Counter()
        self._silent: Counter[tuple[str, str]] = Counter()
        self._taken = self._blank = 0

    def check(self, row: Row) -> None:
        """A pair row; votes of the right form where they are to be kept.

        Raises:
            RowError: names the field, such as `votes.source`.
        """
        check_pair(row)
        if not self._added:
            return
        votes_field(row)
        scores_field(row, "vote_probabilities")

    def work(self, row: Row) -> RowWork:
        """Ask judge after judge; stop as soon as the verdict is reached or out of reach. Nobody is
        asked about a blank document: the verdict is no.
        """
        if is_blank(document_text(row)):
            self._blank += 1
            return self._unasked(row, "no", {})
        poll = Poll(len(self._panel))
        probabilities: dict[str, float] = {}
        origins: dict[str, str] = {}
        paid = self._bought(row)
        known = self._known(row, paid)
        if (verdict := self._verdict_of(paid, known)) is not None:
            self._taken += 1
            return self._unasked(row, verdict.value, {"verdict": verdict.origin})
        for spec, known_vote, known_odds, origin in known:
            poll.add(spec, known_vote)
            if known_odds is not None:
                probabilities[spec] = known_odds
            if origin:
                origins[spec] = origin
        audit = self._audited_by_lot(row)
        answers: list[tuple[str, Vote | None]] = []
        silent: list[tuple[str, str]] = []
        for spec, vote_on, backend in self._panel:
            if spec in poll.votes:
                continue
            if not (audit or self._soft or spec in self._added) and poll.settled:
                continue
            vote: Vote | None = None
            if vote_on is not None:
                vote = vote_on(row)
            elif backend is not None:
                pair = (row["query"], document_text(row))
                reply = yield from asked_again(backend, pair, *pair)
                said, probability = reply.value.get("vote"), reply.value.get("probability")
                vote = said if said in ("yes", "no") else None
                if probability is not None:
                    probabilities[spec] = probability
                if reply.refusal is not None:
                    silent.append((spec, reply.refusal))
            poll.add(spec, vote)
            answers.append((spec, vote))
        for spec, *_ in known:
            self._votes[spec]["kept"] += 1
        for spec, cast in answers:
            self._votes[spec][cast or "abstained"] += 1
        for one in silent:
            full = len(self._silent) >= MOST_REASONS and one not in self._silent
            self._silent[(one[0], "other reasons") if full else one] += 1
        decided = mean_verdict(probabilities, self._order) if self._soft else poll.verdict
        self._verdicts[decided or "undecided"] += 1
        others = _forgotten(row)
        row["votes"] = self._in_order(poll.votes)
        if probabilities:
            row["vote_probabilities"] = self._in_order(probabilities)
        row["verdict"] = decided
        row["votes_cast"] = len(poll.votes)
        row["agreement"] = poll.agreement_with(decided)
        if audit:
            self._audited[tuple(poll.votes.get(spec) for spec in self._order)] += 1
            row["audit"] = True
        votes = {f"votes.{spec}": origin for spec, origin in origins.items()}
        note_origins(row, others | votes)
        return row

    def questions(self, row: Row) -> Questions:
        """Every judge that has not voted yet, and how likely it is to be reached."""
        paid = self._bought(row)
        votes = self._known(row, paid)
        if is_blank(document_text(row)) or self._verdict_of(paid, votes) is not None:
            return
        known = {spec for spec, *_ in votes}
        everyone = self._soft or self._audited_by_lot(row)
        pair = (row["query"], document_text(row))
        reached = reach_probabilities([PANEL_AGREEMENT] * len(self._panel))[len(known) :]
        waiting = [one for one in self._panel if one[0] not in known]
        for (spec, _, backend), share in zip(waiting, reached, strict=True):
            if backend is not None:
                sure = everyone or spec in self._added
                yield request(backend, (pair, 0), *pair), 1.0 if sure else share

    def summary(self) -> dict[str, object]:
        """Verdicts, each judge's votes, what stopping early spared; agreement on audit rows."""
        figures: dict[str, object] = {
            "verdicts": {name: self._verdicts[name] for name in ("yes", "no", "undecided")}
        }
        kept = sum(votes["kept"] for votes in self._votes.values())
        names = ("yes", "no", "abstained", *(("kept",) if kept else ()))
        labels = {spec: self._votes[spec] for spec, vote_on, _ in self._panel if vote_on}
        answers = {
            spec: {name: votes[name] for name in ("yes", "no") if votes[name]}
            for spec, votes in labels.items()
        }
        warnings = [*filter(None, [same_answer_warning(answers)]), *self._mostly_silent()]
        if warnings:
            figures["warning"] = "; ".join(warnings)
        figures["votes"] = [
            {"judge": spec, **{name: votes[name] for name in names}}
            for spec, votes in self._votes.items()
        ]
        if self._paid is not None:
            figures["verdicts taken over from --reuse"] = self._taken
        if self._blank:
            figures["blank documents, no without a vote"] = self._blank
        if self._silent:
            figures["why judges abstained"] = [
                {"judge": spec, "rows": count, "why": why}
                for (spec, why), count in self._silent.most_common(SHOWN_REASONS)
            ]
        if len(self._panel) > 1:
            asked = sum(votes.total() for votes in self._votes.values()) - kept
            rows = self._verdicts.total() - self._taken - self._blank
            spared = rows * len(self._panel) - asked - kept
            figures["judgements"] = {"made": asked, "spared by stopping early": spared}
        if self._audit:
            figures["audit rows"] = self._audited.total()
        if self._audited:
            figures |= audit_figures(self._audited, self._order, self._seed)
        return figures

    def _mostly_silent(self) -> Iterator[str]:
        """Of each model that gave no usable answer for more than half of its rows: how many, the
        most frequent reason, and what to do."""
        for spec, vote_on, _ in self._panel:
            votes = self._votes[spec]
            silent, asked = votes["abstained"], votes.total() - votes["kept"]
            if vote_on is None and 2 * silent > asked:
                reasons = {why: rows for (one, why), rows in self._silent.items() if one == spec}
                most = max(reasons, key=reasons.__getitem__, default="it gave no reason")
                yield (
                    f"{spec} gave no usable answer for {silent:,} of {counted(asked, 'row')} "
                    f"({silent / asked:.0%}), most often: {most}. Take another model (--judge) or "
                    "another rubric (--rubric); --fresh asks the same model again"
                )

    def _in_order(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """By judge, in the panel's order."""
        return {spec: found[spec] for spec in self._order if spec in found}

    def _bought(self, row: Row) -> dict[tuple[str, str], PaidValue]:
        """What is paid for already, of this pair."""
        return self._paid.find(row["query"], document_text(row)) if self._paid is not None else {}

    def _verdict_of(
        self, paid: Mapping[tuple[str, str], PaidValue], known: Sequence[object]
    ) -> PaidValue | None:
        """A verdict that stands for the whole panel: where none of its votes is known."""
        return None if known or self._added or self._soft else paid.get(("verdict", ""))

    def _unasked(self, row: Row, verdict: str, origins: Mapping[str, str]) -> Row:
        self._verdicts[verdict] += 1
        others = _forgotten(row)
        row |= {"votes": {}, "verdict": verdict, "votes_cast": 0, "agreement": None}
        note_origins(row, {**others, **origins})
        return row

    def _known(
        self, row: Row, paid: Mapping[tuple[str, str], PaidValue]
    ) -> list[tuple[str, Vote, float | None, str]]:
        """(judge, vote, probability, where it comes from) of the panel's votes that are there."""
        found: dict[str, tuple[str, Vote, float | None, str]] = {}
        if self._added:
            given, odds = row.get("votes") or {}, row.get("vote_probabilities") or {}
            found = {
                spec: (spec, given[spec], odds.get(spec), "")
                for spec in self._order
                if given.get(spec) in ("yes", "no")
            }
        for spec in self._order if paid else ():
            vote = paid.get(("votes", spec))
            if spec not in found and vote is not None:
                odd = paid.get(("vote_probabilities", spec))
                found[spec] = (spec, vote.value, odd.value if odd else None, vote.origin)
        return [found[spec] for spec in self._order if spec in found]

    def _audited_by_lot(self, row: Row) -> bool:
        return self._audit > 0 and is_sampled(
            self._audit, self._seed, "audit", query_id(row), doc_id(row)
        )


def _forgotten(row: Row) -> dict[str, str]:
    """Take away what an earlier panel left beside votes and verdict; of `reused` what is of
    neither."""
    row.pop("vote_probabilities", None)
    row.pop("audit", None)
    before = row.pop("reused", None)
    known = before.items() if isinstance(before, dict) else ()
    return {
        name: origin
        for name, origin in known
        if name != "verdict" and not name.startswith("votes.")
    }
