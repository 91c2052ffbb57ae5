"""Inputs to outputs: plan the jobs, guard each by lock and manifest, work it, publish it whole."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from prism_cli import terminal
from prism_cli.engine.control import AT_ONCE, Control, rare_collections
from prism_cli.engine.crash import crash_point
from prism_cli.engine.heartbeat import Heartbeat, remove_heartbeat
from prism_cli.engine.job_record import count_lines, job_record
from prism_cli.engine.jobs import (
    Job,
    Line,
    jobs_of_process,
    outputs_without_input,
    plan_jobs,
    read_lines,
)
from prism_cli.engine.located_rows import LocatedRow, split_queries, well_formed_rows
from prism_cli.engine.lost_replies import check_paid_replies
from prism_cli.engine.output_files import Leftovers, OutputFiles, side_path
from prism_cli.engine.progress import Progress
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.refusals import CONCERNS_ONE, Refusals
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.engine.run_options import RunOptions as RunOptions
from prism_cli.engine.shard import ShardPass, Sinks
from prism_cli.engine.shared_runner import SharedRunner
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import ChangedInputError, LockedError, PrismError, UsageError
from prism_cli.shards.lock import output_lock
from prism_cli.shards.measured import Measured
from prism_cli.shards.reader import Source, remove_spooled
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.state import ledger_path

_STDOUT_RUNS = 1000
"""Runs to standard output that one state directory holds the records of at a time."""


def run_rows(
    stage: RowStage, inputs: Sequence[str | Source], options: RunOptions | None = None
) -> RunSummary:
    """Run `stage` over `inputs` and publish its outputs.

    Of several outputs those that cannot be worked are left alone, and named in the summary's
    `refused`.

    Raises:
        MissingDataError, ChangedInputError, LockedError, StorageError: before or while working.
        RefusedOutputsError: of several outputs none could be worked, nor was finished before.
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
            shared_runner = SharedRunner(stage.name, options, control)
            stack.callback(shared_runner.close)
            run = _Run(stage, options, control, summary, jobs, shared_runner)
            own = jobs_of_process(jobs, options.part)
            run.all(own)
            summary.inputs_gone = outputs_without_input(stage.name, jobs, inputs)
            summary.refused = run.refusals.error(len(own), run.worked)
            if summary.refused and not (run.worked or summary.finished_before):
                raise summary.refused
            if run.worked:
                stage.end_shards()
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
    shared_runner: SharedRunner
    worked: int = 0
    """Outputs that were worked."""
    refusals: Refusals = field(default_factory=Refusals)
    _first_pass_done: bool = False
    _concerns_all: bool = False
    """Whether what went wrong is a matter of all outputs."""
    _batched: Counter[str] = field(default_factory=Counter)
    """Replies that batches of this run brought, by output."""
    _leftovers: Leftovers = field(default_factory=Leftovers)

    def finished(self, job: Job, record: RunRecord | None = None) -> bool:
        """Whether the job's outputs stand already; refuses those that something else made."""
        if job.outputs is None or self.options.overwrite:
            return False
        try:
            made = (record or self._record(job)).finished()
        except ChangedInputError as error:
            if not error.redo:
                raise
            if self.options.if_changed == "redo":
                return False
            more = f"{error}. --if-changed redo makes such outputs again"
            raise ChangedInputError(more, reasons=error.reasons, redo=True) from None
        if made is None:
            return False
        self.summary.add_finished(job.outputs.values(), side_path(job.record_path, "rejects"), made)
        return True

    def all(self, jobs: Sequence[Job]) -> None:
        """Each job from lines to published files, under its lock. Outputs that cannot be worked
        are told before the first work, as far as they are known then."""
        unfinished = []
        for job in jobs:
            with self._refusing(job):
                job.check_names()
                if not self.finished(job):
                    unfinished.append(job)
        if self.stage.ranks_queries and unfinished and len(self.jobs) > 1:
            unfinished = self._within_one_shard(unfinished)
        if self.options.batch:
            with ExitStack() as held:
                claimed = []
                for job in unfinished:
                    with self._refusing(job):
                        claimed += [one] if (one := self._claimed(job, held)) else []
                claimed = self._ask_in_batches(claimed)
                for job, record in claimed:
                    with self._refusing(job):
                        self._work(job, record)
            return
        for job in unfinished:
            with self._refusing(job), ExitStack() as held:
                if one := self._claimed(job, held):
                    self._work(*one)

    def _within_one_shard(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs without a query whose rows stand in two shards; the others are refused."""
        apart = split_queries(self.jobs, self.stage.group_of, self._rows, self._refusing)
        for job in jobs:
            if id(job) in apart:
                self.refusals.add_straddling(job.name, apart[id(job)])
        refused = {one.output for one in self.refusals.found}
        return [job for job in jobs if job.name not in refused]

    @contextmanager
    def _refusing(self, job: Job) -> Iterator[None]:
        """Of several jobs, one that cannot be worked does not keep the others from it."""
        try:
            yield
        except CONCERNS_ONE as error:
            if len(self.jobs) == 1 or self._concerns_all:
                raise
            self.refusals.add(job.name, error)

    def _claimed(self, job: Job, held: ExitStack) -> tuple[Job, RunRecord] | None:
        """The job, locked and begun; None where another run has finished it meanwhile."""
        if self.options.batch and job.outputs is None:
            raise UsageError("--batch goes over the rows several times; name a file with -o")
        job = self._locked(job, held)
        record = self._record(job)
        if self.finished(job, record):
            return None
        accept = self.options.accept_lost_replies
        check_paid_replies(job.record_path, ledger_path(job.home), accept_lost=accept)
        with self.control.abandoning(AT_ONCE):
            self.stage.prepare(row for *_, row in self._rows([job]))
        record.plan = self.stage.batch_plan()
        options, shared_runner = self.options, self.shared_runner
        record.begin(
            partial(shared_runner.fresh_start, record) if options.fresh else None,
            shared_runner.turned_to(record).mark if options.retry_final else None,
        )
        self._leftovers.remove(job)
        crash_point("after-claim")
        return job, record

    def _work(self, job: Job, record: RunRecord) -> None:
        runner = self.shared_runner.turned_to(record)
        runner.totals.from_ledger -= self._batched[record.output_id]
        self.stage.begin_shard()
        self._first_pass(self.stage, job)
        self.stage.apply_batch_plan(record.manifest.batch_plan)
        try:
            self._pass(job, record, runner)
        except (PrismError, OSError):
            record.manifest.batch_plan |= self.stage.batch_plan()
            record.stopped(runner.usage())
            raise
        else:
            self.worked += 1
        finally:
            self.summary.usage.add(runner.totals)

    def _first_pass(self, stage: RowStage, job: Job) -> None:
        """Show the stage the rows that it must see before those of `job` are worked."""
        if stage.needs_first_pass_per_shard:
            stage.first_pass(row for *_, row in self._rows([job]))
        elif stage.needs_first_pass and not self._first_pass_done:
            self._concerns_all = True
            stage.first_pass(row for *_, row in self._rows(self.jobs))
            self._concerns_all, self._first_pass_done = False, True

    def _rows(self, jobs: Sequence[Job]) -> Iterator[LocatedRow]:
        options = self.options
        return well_formed_rows(self.stage, jobs, options.fields, options.limit, self.control)

    def _ask_in_batches(self, claimed: list[tuple[Job, RunRecord]]) -> list[tuple[Job, RunRecord]]:
        """Passes over all rows that write nothing, and batches between them, until the ledger has
        what the rows ask; the jobs whose rows could be read."""
        try:
            while claimed:
                stage, readable = self.stage.new_copy(), []
                for job, record in claimed:
                    with self._refusing(job):
                        self._ask_in_batch(stage, job, record)
                        readable.append((job, record))
                claimed, self._first_pass_done = readable, False
                if not claimed or not self.shared_runner.turned_to(claimed[0][1]).exchange():
                    break
        except (PrismError, OSError):
            for _, record in claimed:
                record.stopped(self.shared_runner.turned_to(record).usage())
            raise
        return claimed

    def _ask_in_batch(self, stage: RowStage, job: Job, record: RunRecord) -> None:
        runner = self.shared_runner.turned_to(record)
        self._first_pass(stage, job)
        progress, fields = Progress(job.label, None), self.options.fields
        work = ShardPass(stage, runner, Sinks.nowhere(stage.outputs), progress, fields)
        try:
            work.run(self._lines(job, record.measured))
        except CONCERNS_ONE:
            record.stopped(runner.usage())
            raise
        self._batched[record.output_id] += runner.totals.asked
        self.summary.usage.add(replace(runner.totals, from_ledger=0, shared=0))

    def _pass(self, job: Job, record: RunRecord, runner: RequestRunner) -> None:
        label = f"{self.stage.name} {job.label}"
        with ExitStack() as files:
            parts = OutputFiles(job, record.manifest.attempt, files)
            total, quiet = count_lines(record, self.options.limit), self.options.quiet
            progress = files.enter_context(show_progress(label, total, quiet=quiet))
            work = ShardPass(self.stage, runner, parts.sinks(), progress, self.options.fields)
            with Heartbeat(job.record_path, work.live, **self._place(job, record)):
                try:
                    counts = work.run(self._lines(job, record.measured))
                finally:
                    self.summary.counts.add(work.counts)
                    self.summary.reject_examples.add_all(work.reject_examples)
            parts.finish()
            for reason, count in work.pending_reasons.items():
                self.summary.pending_reasons.add(reason, count)
            record.manifest.batch_plan |= self.stage.batch_plan()
            record.account(counts.as_dict(), runner.usage(), self.stage.summary())
            outputs = [str(out) for out in (job.outputs or {}).values()]
            if counts.pending and not self.options.accept_pending and job.outputs is not None:
                self.summary.unpublished += outputs
                record.finish(finished=False)
                return
            record.publishing(parts.records)
            self.summary.side_files += map(str, parts.publish())
            self.summary.outputs += outputs
            record.finish(finished=not counts.pending)
            if not counts.pending:
                remove_heartbeat(job.record_path)

    def _lines(self, job: Job, measured: Mapping[str, Measured]) -> Iterator[Line]:
        return read_lines(job.inputs, measured, self.options.limit, self.options.fields)

    def _place(self, job: Job, record: RunRecord) -> dict[str, Any]:
        """What another terminal needs to know of the job besides its counts."""
        here = next(number for number, one in enumerate(self.jobs, 1) if one.inputs is job.inputs)
        return {
            "stage": self.stage.name,
            "attempts": record.manifest.attempts,
            "job": here,
            "jobs": len(self.jobs),
            "ledger": str(ledger_path(self.jobs[0].home).absolute()),
        }

    def _locked(self, job: Job, held: ExitStack) -> Job:
        """Take the job's lock. Runs to standard output take turns at names for their records."""
        for number in range(1, _STDOUT_RUNS):
            named = job if number == 1 else job.numbered(number)
            try:
                held.enter_context(output_lock(named.record_path))
            except LockedError:
                if job.outputs is not None:
                    raise
            else:
                return named
        raise LockedError(f"{job.record_path}: {_STDOUT_RUNS} runs to standard output are at work")

    def _record(self, job: Job) -> RunRecord:
        return job_record(job, self.stage.name, self.options.settings, self.options.dependencies)
