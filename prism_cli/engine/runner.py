"""Inputs to outputs: plan the jobs, guard each by lock and manifest, work it, publish it whole."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prism_cli import terminal
from prism_cli.engine.answering import Answerer
from prism_cli.engine.batching import Batching
from prism_cli.engine.control import Control, rare_collections
from prism_cli.engine.crash import crash_point
from prism_cli.engine.jobs import Job, Line, own_jobs, plan_jobs, read_lines
from prism_cli.engine.live import LiveRecord, live_path, remove_live
from prism_cli.engine.lost_replies import refuse_lost_replies
from prism_cli.engine.papers import Papers
from prism_cli.engine.parts import SIDE_KINDS, Parts, side_path
from prism_cli.engine.progress import Progress, shown_progress
from prism_cli.engine.shard import ShardWork, Sinks
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import DEFAULT_MAX_REJECTS, RunSummary
from prism_cli.errors import LockedError, PrismError, RowError, UsageError
from prism_cli.rows.row import Row
from prism_cli.shards.batch_book import BOOK_NAME, BatchBook
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.lock import output_lock
from prism_cli.shards.measured import Measured
from prism_cli.shards.reader import Source, remove_spooled
from prism_cli.shards.state import LEDGER_NAME, ledger_path, state_directory
from prism_cli.shards.writer import leftover_parts, remove_parts

_STDOUT_RUNS = 1000
"""Runs to standard output that one state directory holds the papers of at a time."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is done; `config`, `fields` and `limit` also decide what comes out.

    Attributes:
        output: file or directory; None for the default place; Path("-") for standard output.
        max_rejects: share of rows, 0 to 1, above which the exit code is 4.
        config: the resolved config; a change of it is refused unless `overwrite`.
        dependencies: other files that decide the rows (corpus, qrels).
        fields: contract name -> name in the input.
        accept_lost_replies: go on where the ledger lacks replies that were paid for.
        retry_final: ask again what was refused for good before this run.
        max_cost: US dollars.
        batch: models that answer batch files are asked so.
        part: (this process, of how many), from 0: of several processes each works its own outputs.
    """

    output: Path | None = None
    limit: int | None = None
    overwrite: bool = False
    fresh: bool = False
    accept_lost_replies: bool = False
    max_rejects: float = DEFAULT_MAX_REJECTS
    fields: Mapping[str, str] = field(default_factory=dict)
    accept_pending: bool = False
    max_seconds: float | None = None
    max_cost: float | None = None
    retry_final: bool = False
    batch: bool = False
    part: tuple[int, int] = (0, 1)
    quiet: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Sequence[Path] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the rows besides inputs and dependencies."""
        return {**self.config, "limit": self.limit, "fields": dict(self.fields)}


def run_rows(
    stage: RowStage, inputs: Sequence[str | Source], options: RunOptions | None = None
) -> RunSummary:
    """Run `stage` over `inputs` and publish its outputs.

    Raises:
        MissingDataError, ChangedInputError, LockedError, StorageError: before or while working.
        InterruptedRunError, LimitReachedError: stopped early; the same command goes on.
    """
    options = options or RunOptions()
    started = time.monotonic()
    control = Control(options.max_seconds, options.max_cost)
    summary = RunSummary(
        stage.name, max_rejects=options.max_rejects, accept_pending=options.accept_pending
    )
    try:
        with ExitStack() as stack:
            stack.enter_context(control.listening())
            stack.enter_context(rare_collections())
            jobs = plan_jobs(
                stage.name, stage.outputs, inputs, options.output, plain=stage.plain_lines
            )
            run = _Run(stage, options, control, summary, jobs, stack)
            # All refusals come before the first work.
            run.all([job for job in own_jobs(jobs, options.part) if not run.finished(job)])
            if run.worked:
                summary.figures = stage.summary()
    finally:
        remove_spooled()
        terminal.count(**summary.counts.ended())
    summary.seconds = time.monotonic() - started
    return summary


@dataclass
class _Run:
    stage: RowStage
    options: RunOptions
    control: Control
    summary: RunSummary
    jobs: Sequence[Job]
    stack: ExitStack
    worked: bool = False
    _answerer: Answerer | None = None
    _ledger: Path = Path()
    _batched: Counter[str] = field(default_factory=Counter)
    """Replies that batches of this run brought, by output."""
    _leftovers: dict[Path, dict[str, list[Path]]] = field(default_factory=dict)
    """Parts of dead attempts, by folder and name."""

    def finished(self, job: Job, papers: Papers | None = None) -> bool:
        """Whether the job's outputs stand already; refuses those that something else made."""
        if job.outputs is None or self.options.overwrite:
            return False
        made = (papers or self._papers(job)).finished()
        if made is None:
            return False
        self.summary.finished_before += [str(out) for out in job.outputs.values()]
        self.summary.rows_before += made["counts"].get("rows", 0)
        self.summary.rejected_before += made["counts"].get("rejected", 0)
        return True

    def all(self, jobs: Sequence[Job]) -> None:
        """Each job from lines to published files, under its lock."""
        if self.options.batch:
            with ExitStack() as held:
                claimed = [one for job in jobs if (one := self._claimed(job, held))]
                self._ask_in_batches(claimed)
                for job, papers in claimed:
                    self._work(job, papers)
            return
        for job in jobs:
            with ExitStack() as held:
                if one := self._claimed(job, held):
                    self._work(*one)

    def _claimed(self, job: Job, held: ExitStack) -> tuple[Job, Papers] | None:
        """The job, locked and begun; None where another run has finished it meanwhile."""
        if self.options.batch and job.outputs is None:
            raise UsageError("--batch goes over the rows several times; name a file with -o")
        job = self._locked(job, held)
        papers = self._papers(job)
        if self.finished(job, papers):
            return None
        if not self.options.accept_lost_replies:
            refuse_lost_replies(job.papers, ledger_path(_home(job)))
        fresh = self.options.fresh
        papers.begin(self._answering(papers).next_sequence if fresh else None)
        self._remove_leftovers(job)
        crash_point("after-claim")
        return job, papers

    def _remove_leftovers(self, job: Job) -> None:
        """What dead attempts left of the job's files; folders are looked through once a run."""
        places = [one.resolve() for one in (job.outputs or {}).values()]
        sides = [side_path(job.papers, kind) for kind in SIDE_KINDS]
        for path in (*places, *sides, job.manifest_path, live_path(job.papers)):
            if path.parent not in self._leftovers:
                self._leftovers[path.parent] = leftover_parts(path.parent)
            remove_parts(self._leftovers[path.parent].pop(path.name, ()))

    def _work(self, job: Job, papers: Papers) -> None:
        answerer = self._answering(papers)
        answerer.tally.from_ledger -= self._batched[papers.output_id]
        if self.stage.surveys and not self.worked:
            self.stage.survey(self._well_formed())
        self.worked = True
        self.stage.follow(papers.manifest.batch_plan)
        try:
            self._pass(job, papers, answerer)
        except (PrismError, OSError):
            papers.manifest.batch_plan |= self.stage.batch_plan()
            papers.stopped(answerer.usage())
            raise
        finally:
            self.summary.usage.add(answerer.tally)

    def _ask_in_batches(self, claimed: Sequence[tuple[Job, Papers]]) -> None:
        """Passes over all rows that write nothing, and batches between them, until the ledger has
        what the rows ask."""
        try:
            while claimed:
                stage = self.stage.anew()
                if stage.surveys:
                    stage.survey(self._well_formed())
                for job, papers in claimed:
                    answerer = self._answering(papers)
                    progress, fields = Progress(job.label, None), self.options.fields
                    nowhere = Sinks.nowhere(stage.outputs)
                    work = ShardWork(stage, answerer, nowhere, progress, fields)
                    work.run(self._lines(job, papers.measured))
                    self._batched[papers.output_id] += answerer.tally.asked
                    self.summary.usage.add(replace(answerer.tally, from_ledger=0, shared=0))
                if not answerer.exchange():
                    return
        except (PrismError, OSError):
            for _, papers in claimed:
                papers.stopped(self._answering(papers).usage())
            raise

    def _pass(self, job: Job, papers: Papers, answerer: Answerer) -> None:
        label = f"{self.stage.name} {job.label}"
        with ExitStack() as files:
            parts = Parts(job, papers.manifest.attempt, files)
            progress = files.enter_context(
                shown_progress(label, self._total(papers), quiet=self.options.quiet)
            )
            work = ShardWork(self.stage, answerer, parts.sinks(), progress, self.options.fields)
            with LiveRecord(job.papers, work.live, **self._place(job, papers)):
                try:
                    counts = work.run(self._lines(job, papers.measured))
                finally:
                    self.summary.counts.add(work.counts)
            parts.finish()
            for reason, count in work.pending_reasons.items():
                self.summary.pending_reasons.add(reason, count)
            papers.manifest.batch_plan |= self.stage.batch_plan()
            papers.account(counts, answerer.usage(), self.stage.summary())
            outputs = [str(out) for out in (job.outputs or {}).values()]
            if counts.pending and not self.options.accept_pending and job.outputs is not None:
                self.summary.unpublished += outputs
                papers.finish(finished=False)
                return
            papers.publishing(parts.records)
            self.summary.side_files += map(str, parts.publish())
            self.summary.outputs += outputs
            papers.finish(finished=not counts.pending)
            if not counts.pending:
                remove_live(job.papers)

    def _lines(self, job: Job, measured: Mapping[str, Measured]) -> Iterator[Line]:
        return read_lines(job.inputs, measured, self.options.limit, self.options.fields)

    def _total(self, papers: Papers) -> int | None:
        lines, limit = papers.count_lines(), self.options.limit
        return lines if lines is None or limit is None else min(lines, limit)

    def _place(self, job: Job, papers: Papers) -> dict[str, Any]:
        """What another terminal needs to know of the job besides its counts."""
        here = next(number for number, one in enumerate(self.jobs, 1) if one.inputs is job.inputs)
        return {
            "stage": self.stage.name,
            "attempts": papers.manifest.attempts,
            "job": here,
            "jobs": len(self.jobs),
            "ledger": str(self._ledger.absolute()),
        }

    def _locked(self, job: Job, held: ExitStack) -> Job:
        """Take the job's lock. Runs to standard output take turns at names for their papers."""
        for number in range(1, _STDOUT_RUNS):
            named = job if number == 1 else job.numbered(number)
            try:
                held.enter_context(output_lock(named.papers))
            except LockedError:
                if job.outputs is not None:
                    raise
            else:
                return named
        raise LockedError(f"{job.papers}: {_STDOUT_RUNS} runs to standard output are at work")

    def _papers(self, job: Job) -> Papers:
        plan = self.stage.batch_plan()
        return Papers(job, self.stage.name, self.options.settings, self.options.dependencies, plan)

    def _answering(self, papers: Papers) -> Answerer:
        if self._answerer is None:
            home = _home(papers.job)
            self._ledger = ledger_path(home)
            self._answerer = Answerer(
                self.stage.name,
                lambda: Ledger(state_directory(home) / LEDGER_NAME),
                self.control,
                retry_refused=self.options.retry_final,
                batching=self._batching(home),
            )
            self.stack.callback(self._answerer.close)
        self._answerer.turn_to(papers.output_id, papers.manifest.fresh_since or 0)
        return self._answerer

    def _batching(self, home: Path | None) -> Batching | None:
        path = state_directory(home) / BOOK_NAME
        if not self.options.batch and not path.exists():
            return None
        quiet = self.options.quiet
        return Batching(BatchBook(path), self.control, sends=self.options.batch, quiet=quiet)

    def _well_formed(self) -> Iterator[Row]:
        for job in self.jobs:
            for number, (_, _, raw) in enumerate(self._lines(job, {})):
                if number % 1024 == 0:
                    self.control.check()
                if not raw.strip():
                    continue
                try:
                    row = self.stage.decode(raw, self.options.fields)
                    self.stage.check(row)
                except RowError:
                    continue  # the main pass sets it aside
                yield row


def _home(job: Job) -> Path | None:
    """The output beside which the ledger may lie."""
    return next(iter(job.outputs.values())) if job.outputs else None
