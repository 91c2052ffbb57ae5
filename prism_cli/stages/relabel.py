"""Relabelling: judges vote on every row, one after another until the verdict is settled."""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prism_cli.domain.agreement import Pattern, audit_figures
from prism_cli.domain.constant_labels import same_answer_warning
from prism_cli.domain.panel_model import CODES, UNASKED
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
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request, RowWork, request
from prism_cli.rows.row import (
    Row,
    check_pair,
    doc_id,
    document_text,
    number_field,
    query_id,
    scores_field,
    votes_field,
)
from prism_cli.rows.texts import is_blank
from prism_cli.shards.paid_rows import PaidRows, note_origins
from prism_cli.stages.known_votes import KnownVotes, remove_old_labels
from prism_cli.stages.panel_stopping import PanelStopping, stopping_figures
from prism_cli.stages.retries import gather, request_with_retries
from prism_cli.stages.silent_judges import count_reason, shown_reasons, silent_judges


class Answer(NamedTuple):
    """Reply of a judge; `vote` is None for an abstention, with the reason of a refusal."""

    vote: Vote | None
    probability: float | None = None
    refusal: str | None = None


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
        stopping: stops as soon as another verdict of the full panel is improbable; by default
            asking stops when the verdict is settled.
    """

    name = "relabel"
    counted = (
        "_verdicts", "_votes", "_audited", "_early", "_silent", "_taken", "_blank",
        "_stopping_counts",
    )  # fmt: skip

    def __init__(
        self,
        judges: Sequence[Judge],
        *,
        audit: float = 0.0,
        seed: int = 0,
        soft: bool = False,
        added: Sequence[str] = (),
        paid: PaidRows | None = None,
        stopping: PanelStopping | None = None,
    ) -> None:
        self._judges = list(judges)
        self._panel = sorted(judges, key=lambda judge: judge.spec not in added)
        self._order = [judge.spec for judge in judges]
        self._audit = audit if len(self._panel) > 1 else 0.0
        self._seed = seed
        self._soft = soft
        self._added = frozenset(added)
        self._reuses = paid is not None
        self._known = KnownVotes(
            self._order, keeps=bool(added), takes_verdicts=not (added or soft), paid=paid
        )
        self.stopping = stopping
        self._stopping_counts: Counter[str] = Counter()
        self.learns_first = self.needs_first_pass_per_shard = stopping is not None
        self._verdicts: Counter[str] = Counter()
        self._votes: dict[str, Counter[str]] = {judge.spec: Counter() for judge in judges}
        self._audited: Counter[tuple[float | None, Pattern]] = Counter()
        self._early: Counter[tuple[float | None, tuple[int, int]]] = Counter()
        self._silent: Counter[tuple[str, str]] = Counter()
        self._taken = self._blank = 0

    def check(self, row: Row) -> None:
        """Check the pair row, and the form of votes that are to be kept.

        Raises:
            RowError: names the field, such as `votes.source`.
        """
        check_pair(row)
        if self.stopping is not None and self.stopping.teacher:
            number_field(row, "teacher_score", 0, 1)
            scores_field(row, "teacher_scores")
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
        known = self._known.of(row)
        if known.verdict is not None:
            self._taken += 1
            return self._without_votes(row, known.verdict.value, {"verdict": known.verdict.origin})
        for spec, known_vote, known_probability, origin in known.votes:
            poll.add(spec, known_vote)
            if known_probability is not None:
                probabilities[spec] = known_probability
            if origin:
                origins[spec] = origin
        everyone = audit = self._is_audited(row)
        everyone |= self._soft
        answers: dict[str, Answer] = {}
        for judge in self._to_ask(row, poll, answers, everyone=everyone):
            answer = yield from self._ask(judge, row)
            answers[judge.spec] = answer
            poll.add(judge.spec, answer.vote)
            if answer.probability is not None:
                probabilities[judge.spec] = answer.probability
        for spec, *_ in known.votes:
            self._votes[spec]["kept"] += 1
        for spec, answer in answers.items():
            self._votes[spec][answer.vote or "abstained"] += 1
            if answer.refusal is not None:
                count_reason(self._silent, spec, answer.refusal)
        others = remove_old_labels(row)
        audit_share = self.stopping.audit_share if self.stopping is not None else self._audit
        audit_share = float(f"{audit_share:.4g}")
        stopped: dict[str, object] = {}
        decided = mean_verdict(probabilities, self._order) if self._soft else poll.verdict
        if self.stopping is not None:
            stop = self.stopping.end(
                row, poll, self._state(poll, answers), len(answers), audit=audit
            )
            decided, stopped = stop.verdict, stop.fields
            self._stopping_counts.update(stop.counts)
            if audit:
                early = (stop.counts["changed"], stop.counts["early asked"])
                self._early[audit_share, early] += 1
        self._verdicts[decided or "undecided"] += 1
        row["votes"] = self._in_order(poll.votes)
        if probabilities:
            row["vote_probabilities"] = self._in_order(probabilities)
        row["verdict"] = decided
        row["votes_cast"] = len(poll.votes)
        row["agreement"] = poll.agreement_with(decided)
        if audit:
            self._audited[audit_share, self._pattern(poll)] += 1
            row |= {"audit": True, "audit_share": audit_share}
            if silent := [spec for spec in self._order if spec not in poll.votes]:
                row["abstained"] = silent
        row |= stopped
        votes = {f"votes.{spec}": origin for spec, origin in origins.items()}
        note_origins(row, others | votes)
        return row

    def _to_ask(
        self, row: Row, poll: Poll, answers: Mapping[str, Answer], *, everyone: bool
    ) -> Iterator[Judge]:
        """Yield the judges to ask, each once `poll` and `answers` have the vote before."""
        for judge in self._panel:
            forced = everyone or judge.spec in self._added
            if judge.spec not in poll.votes and (forced or not (self.stopping or poll.settled)):
                yield judge
        while self.stopping and not everyone:
            place = self.stopping.next_judge(row, self._state(poll, answers))
            if place is None:
                return
            yield self._judges[place]

    def _ask(self, judge: Judge, row: Row) -> Generator[Sequence[Request], Sequence[Reply], Answer]:
        if isinstance(judge, SourceLabelJudge):
            return Answer(judge.vote(row))
        pair = (row["query"], document_text(row))
        reply = yield from request_with_retries(judge, pair, *pair)
        vote = reply.value.get("vote")
        known: Vote | None = vote if vote in ("yes", "no") else None
        return Answer(known, reply.value.get("probability"), reply.refusal)

    def first_pass(self, rows: Iterator[Row]) -> None:
        """Choose the rows that the stopping rule of a shard is learned from."""
        assert self.stopping is not None
        self.stopping.choose(row for row in rows if self._is_open(row))

    def learns(self, row: Row) -> bool:
        """Return whether the stopping rule is learned from a row."""
        return self.stopping is not None and self.stopping.learns(row) and self._is_open(row)

    def learn(self, row: Row) -> RowWork:
        """Ask all judges at once, and keep their votes."""
        assert self.stopping is not None
        poll = Poll(len(self._panel))
        for spec, vote, *_ in self._known.of(row).votes:
            poll.add(spec, vote)
        missing = [judge for judge in self._panel if judge.spec not in poll.votes]
        answers = yield from gather([self._ask(judge, row) for judge in missing])
        for judge, answer in zip(missing, answers, strict=True):
            poll.add(judge.spec, answer.vote)
        self.stopping.learn(row, self._pattern(poll))
        return row

    def finish_learning(self) -> None:
        """Learn the rule."""
        if self.stopping is not None and (reason := self.stopping.finish()):
            self._stopping_counts[reason] += 1

    def forecast_requests(self, row: Row) -> ForecastRequests:
        """Yield every judge that has not voted yet, and its probability of being asked."""
        if not self._is_open(row):
            return
        voted = {spec for spec, *_ in self._known.of(row).votes}
        everyone = self._soft or self._is_audited(row)
        pair = (row["query"], document_text(row))
        waiting = [judge for judge in self._panel if judge.spec not in voted]
        if self.stopping is not None:
            reach = dict(zip(self._order, self.stopping.reach(), strict=True))
            reached = [reach[judge.spec] for judge in waiting]
        else:
            reached = reach_probabilities([PANEL_AGREEMENT] * len(self._panel))[len(voted) :]
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
        silent = [*silent_judges(self._votes, self._silent, answers)]
        if silent and self._verdicts["undecided"] == self._verdicts.total():
            silent.insert(0, "no row got a verdict")
        warnings = [*filter(None, [same_answer_warning(answers)]), *silent]
        if warnings:
            figures["warning"] = "; ".join(warnings)
        figures["votes"] = [
            {"judge": spec, **{name: votes[name] for name in names}}
            for spec, votes in self._votes.items()
        ]
        if self._reuses:
            figures["verdicts taken over from --reuse"] = self._taken
        if self._blank:
            figures["blank documents, no without a vote"] = self._blank
        if self._silent:
            figures["why judges abstained"] = shown_reasons(self._silent)
        if len(self._panel) > 1:
            asked = sum(votes.total() for votes in self._votes.values()) - kept
            rows = self._verdicts.total() - self._taken - self._blank
            spared = rows * len(self._panel) - asked - kept
            figures["judgements"] = {"made": asked, "spared by stopping early": spared}
        if self._audit:
            figures["audit rows"] = self._audited.total()
        if self._audited:
            figures |= audit_figures(self._audited, self._order, self._seed)
        if self.stopping is not None:
            figures |= stopping_figures(
                self._stopping_counts, self._audited, self._early, self._order,
                teacher=self.stopping.teacher,
            )  # fmt: skip
        return figures

    def _is_open(self, row: Row) -> bool:
        """Return whether a row's verdict is found by votes, and its own label can be read."""
        own = (judge for judge in self._panel if isinstance(judge, SourceLabelJudge))
        is_voted = not is_blank(document_text(row)) and self._known.of(row).verdict is None
        return is_voted and all(judge.can_vote(row) for judge in own)

    def _pattern(self, poll: Poll) -> Pattern:
        return tuple(poll.votes.get(spec) for spec in self._order)

    def _state(self, poll: Poll, answers: Mapping[str, Answer]) -> tuple[int, ...]:
        """Return the votes so far as codes of `panel_model`."""
        asked = poll.votes.keys() | answers.keys()
        votes = [(spec, poll.votes.get(spec)) for spec in self._order]
        return tuple(CODES[vote] if spec in asked else UNASKED for spec, vote in votes)

    def _in_order(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values by judge, in the panel's order."""
        return {spec: values[spec] for spec in self._order if spec in values}

    def _without_votes(self, row: Row, verdict: str, origins: Mapping[str, str]) -> Row:
        self._verdicts[verdict] += 1
        others = remove_old_labels(row)
        row |= {"votes": {}, "verdict": verdict, "votes_cast": 0, "agreement": None}
        note_origins(row, {**others, **origins})
        return row

    def _is_audited(self, row: Row) -> bool:
        if self.stopping is not None:
            return self.stopping.is_audited(row)
        return self._audit > 0 and is_sampled(
            self._audit, self._seed, "audit", query_id(row), doc_id(row)
        )
