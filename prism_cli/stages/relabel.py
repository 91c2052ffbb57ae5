"""Relabelling: judges vote on every row, one after another until the verdict is settled."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prism_cli.domain.agreement import Pattern, audit_figures
from prism_cli.domain.constant_labels import same_answer_warning
from prism_cli.domain.seeded_sample import is_sampled
from prism_cli.domain.source_labels import SourceLabelJudge
from prism_cli.domain.voting import (
    PANEL_AGREEMENT,
    Poll,
    Vote,
    mean_verdict,
    reach_probabilities,
)
from prism_cli.engine.stage import ForecastRequests, RowStage
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
from prism_cli.stages.retries import request_with_retries
from prism_cli.wording import counted

MOST_REASONS, SHOWN_REASONS = 1000, 10
"""Most distinct reasons for abstentions that are counted, and most that the summary lists."""


Judge = SourceLabelJudge | BatchBackend | CallBackend
"""A backend's payload is ((query, document text), attempt); its refusal is an abstention."""


class RelabelStage(RowStage):
    """Writes votes, votes_cast, verdict and agreement; vote_probabilities where judges return them.

    Args:
        judges: the panel, cheapest first, with distinct specs.
        audit: share of rows, chosen by hash of (seed, query_id, doc_id), on which every judge
            votes, so that agreement between judges is measured without the bias of stopping.
        soft: ask every judge, and decide by the mean of their probabilities.
        added: specs of judges that vote on every row, before those that have not voted yet; the
            existing votes of rows are kept.
        paid: votes that are paid for already; and verdicts without a judge, which replace the
            whole panel where none of its votes is known.
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
        self._panel = sorted(judges, key=lambda judge: judge.spec not in added)
        self._order = [judge.spec for judge in judges]
        self._audit = audit if len(self._panel) > 1 else 0.0
        self._seed = seed
        self._soft = soft
        self._added = frozenset(added)
        self._paid = paid
        self._verdicts: Counter[str] = Counter()
        self._votes: dict[str, Counter[str]] = {judge.spec: Counter() for judge in judges}
        self._audited: Counter[Pattern] = Counter()
        self._silent: Counter[tuple[str, str]] = Counter()
        self._taken = self._blank = 0

    def check(self, row: Row) -> None:
        """Check the pair row, and the form of votes that are to be kept.

        Raises:
            RowError: names the field, such as `votes.source`.
        """
        check_pair(row)
        if not self._added:
            return
        votes_field(row)
        scores_field(row, "vote_probabilities")

    def work(self, row: Row) -> RowWork:
        """Ask judge after judge; stop as soon as the verdict is reached or out of reach. No judge
        is asked about a blank document: the verdict is no."""
        if is_blank(document_text(row)):
            self._blank += 1
            return self._without_votes(row, "no", {})
        poll = Poll(len(self._panel))
        probabilities: dict[str, float] = {}
        origins: dict[str, str] = {}
        paid = self._paid_values(row)
        known_votes = self._known_votes(row, paid)
        if (verdict := self._verdict_of(paid, known_votes)) is not None:
            self._taken += 1
            return self._without_votes(row, verdict.value, {"verdict": verdict.origin})
        for spec, known_vote, known_probability, origin in known_votes:
            poll.add(spec, known_vote)
            if known_probability is not None:
                probabilities[spec] = known_probability
            if origin:
                origins[spec] = origin
        audit = self._is_audited(row)
        answers: list[tuple[str, Vote | None]] = []
        silent: list[tuple[str, str]] = []
        for judge in self._panel:
            spec = judge.spec
            if spec in poll.votes:
                continue
            if not (audit or self._soft or spec in self._added) and poll.settled:
                continue
            vote: Vote | None
            if isinstance(judge, SourceLabelJudge):
                vote = judge.vote(row)
            else:
                pair = (row["query"], document_text(row))
                reply = yield from request_with_retries(judge, pair, *pair)
                reply_vote, probability = reply.value.get("vote"), reply.value.get("probability")
                vote = reply_vote if reply_vote in ("yes", "no") else None
                if probability is not None:
                    probabilities[spec] = probability
                if reply.refusal is not None:
                    silent.append((spec, reply.refusal))
            poll.add(spec, vote)
            answers.append((spec, vote))
        for spec, *_ in known_votes:
            self._votes[spec]["kept"] += 1
        for spec, answer in answers:
            self._votes[spec][answer or "abstained"] += 1
        for spec, reason in silent:
            full = len(self._silent) >= MOST_REASONS and (spec, reason) not in self._silent
            self._silent[spec, "other reasons" if full else reason] += 1
        decided = mean_verdict(probabilities, self._order) if self._soft else poll.verdict
        self._verdicts[decided or "undecided"] += 1
        others = _remove_old_labels(row)
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

    def forecast_requests(self, row: Row) -> ForecastRequests:
        """Yield every judge that has not voted yet, and its probability of being asked."""
        paid = self._paid_values(row)
        votes = self._known_votes(row, paid)
        if is_blank(document_text(row)) or self._verdict_of(paid, votes) is not None:
            return
        voted = {spec for spec, *_ in votes}
        everyone = self._soft or self._is_audited(row)
        pair = (row["query"], document_text(row))
        reached = reach_probabilities([PANEL_AGREEMENT] * len(self._panel))[len(voted) :]
        waiting = [judge for judge in self._panel if judge.spec not in voted]
        for judge, share in zip(waiting, reached, strict=True):
            if not isinstance(judge, SourceLabelJudge):
                sure = everyone or judge.spec in self._added
                yield request(judge, (pair, 0), *pair), 1.0 if sure else share

    def summary(self) -> dict[str, object]:
        """Return verdicts, votes by judge, calls saved by stopping early, and agreement."""
        figures: dict[str, object] = {
            "verdicts": {name: self._verdicts[name] for name in ("yes", "no", "undecided")}
        }
        kept = sum(votes["kept"] for votes in self._votes.values())
        names = ("yes", "no", "abstained", *(("kept",) if kept else ()))
        answers = {
            judge.spec: {vote: n for vote in ("yes", "no") if (n := self._votes[judge.spec][vote])}
            for judge in self._panel
            if isinstance(judge, SourceLabelJudge)
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
                {"judge": spec, "rows": count, "why": reason}
                for (spec, reason), count in self._silent.most_common(SHOWN_REASONS)
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
        """Yield a warning for each model without a usable answer for more than half of its rows:
        their number, the most frequent reason, and a remedy."""
        for judge in self._panel:
            spec, votes = judge.spec, self._votes[judge.spec]
            silent, asked = votes["abstained"], votes.total() - votes["kept"]
            if not isinstance(judge, SourceLabelJudge) and 2 * silent > asked:
                reasons = {
                    reason: rows for (name, reason), rows in self._silent.items() if name == spec
                }
                most = max(reasons, key=reasons.__getitem__, default="it gave no reason")
                yield (
                    f"{spec} gave no usable answer for {silent:,} of {counted(asked, 'row')} "
                    f"({silent / asked:.0%}), most often: {most}. Take another model (--judge) or "
                    "another rubric (--rubric); --fresh asks the same model again"
                )

    def _in_order(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values by judge, in the panel's order."""
        return {spec: values[spec] for spec in self._order if spec in values}

    def _paid_values(self, row: Row) -> dict[tuple[str, str], PaidValue]:
        """Return the values of this pair that are paid for already."""
        return self._paid.find(row["query"], document_text(row)) if self._paid is not None else {}

    def _verdict_of(
        self, paid: Mapping[tuple[str, str], PaidValue], known_votes: Sequence[object]
    ) -> PaidValue | None:
        """Return a verdict that replaces the whole panel, if none of its votes is known."""
        return None if known_votes or self._added or self._soft else paid.get(("verdict", ""))

    def _without_votes(self, row: Row, verdict: str, origins: Mapping[str, str]) -> Row:
        self._verdicts[verdict] += 1
        others = _remove_old_labels(row)
        row |= {"votes": {}, "verdict": verdict, "votes_cast": 0, "agreement": None}
        note_origins(row, {**others, **origins})
        return row

    def _known_votes(
        self, row: Row, paid: Mapping[tuple[str, str], PaidValue]
    ) -> list[tuple[str, Vote, float | None, str]]:
        """(judge, vote, probability, where it comes from) of the panel's votes that are there."""
        known: dict[str, tuple[str, Vote, float | None, str]] = {}
        if self._added:
            votes, probabilities = row.get("votes") or {}, row.get("vote_probabilities") or {}
            known = {
                spec: (spec, votes[spec], probabilities.get(spec), "")
                for spec in self._order
                if votes.get(spec) in ("yes", "no")
            }
        for spec in self._order if paid else ():
            vote = paid.get(("votes", spec))
            if spec not in known and vote is not None:
                probability = paid.get(("vote_probabilities", spec))
                known[spec] = (
                    spec,
                    vote.value,
                    probability.value if probability else None,
                    vote.origin,
                )
        return [known[spec] for spec in self._order if spec in known]

    def _is_audited(self, row: Row) -> bool:
        return self._audit > 0 and is_sampled(
            self._audit, self._seed, "audit", query_id(row), doc_id(row)
        )


def _remove_old_labels(row: Row) -> dict[str, str]:
    """Remove what an earlier panel wrote; return the entries of `reused` for other fields."""
    row.pop("vote_probabilities", None)
    row.pop("audit", None)
    before = row.pop("reused", None)
    origins = before.items() if isinstance(before, dict) else ()
    return {
        name: origin
        for name, origin in origins
        if name != "verdict" and not name.startswith("votes.")
    }
