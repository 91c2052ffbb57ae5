"""Runs of row stages: each job under its lock, with its run record, published as a whole."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from prism_cli import terminal
from prism_cli.engine.control import AT_ONCE, Control, rare_collections
from prism_cli.engine.crash import crash_point
from prism_cli.engine.heartbeat import Heartbeat, remove_heartbeat
from prism_cli.engine.job_record import count_lines
from prism_cli.engine.jobs import Job, jobs_of_process, outputs_without_input
from prism_cli.engine.located_rows import LocatedRow, split_queries, well_formed_rows
from prism_cli.engine.lost_replies import check_paid_replies
from prism_cli.engine.output_files import Leftovers, OutputFiles, side_path
from prism_cli.engine.progress import Progress
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.engine.run_options import RunOptions as RunOptions
from prism_cli.engine.run_plan import RunPlan, plan_run
from prism_cli.engine.shard import ShardPass
from prism_cli.engine.shared_runner import SharedRunner
from prism_cli.engine.sinks import Sinks
from prism_cli.engine.skipped_outputs import OUTPUT_ERRORS, SkippedOutputs
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import LockedError, PrismError, UsageError
from prism_cli.shards.lock import output_lock
from prism_cli.shards.reader import Source, remove_spooled
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.state import ledger_path

_STDOUT_RUNS = 1000
"""Concurrent runs to standard output whose records one state directory holds."""


def run_rows(
    stage: RowStage, inputs: Sequence[str | Source], options: RunOptions | None = None
) -> RunSummary:
    """Run `stage` over `inputs` and publish its outputs.

    Of several outputs, those that cannot be processed are left as they are and listed in the
    summary's `refused`.

    Raises:
        MissingDataError, ChangedInputError, LockedError, StorageError: before or during the work.
        RefusedOutputsError: none of several outputs could be processed or was finished before.
        InterruptedRunError, LimitReachedError: stopped early; the same command continues.
    """
    options = options or RunOptions()
    started = time.monotonic()
    control = Control(options.max_seconds, options.max_cost)
    summary = RunSummary(
        stage.name, max_rejects=options.max_rejects, accept_pending=options.accept_pending
    )
    try:
        with ExitStack() as stack:
            stack.enter_context(control.handle_signals())
            stack.enter_context(rare_collections())
            plan = plan_run(stage, inputs, options)
            shared_runner = SharedRunner(stage.name, options, control)
            stack.callback(shared_runner.close)
            run = _Run(plan, control, summary, shared_runner)
            jobs = jobs_of_process(plan.jobs, options.part)
            run.process(jobs)
            summary.inputs_gone = outputs_without_input(stage.name, plan.jobs, inputs)
            summary.refused = run.skipped.error(len(jobs), run.processed)
            if summary.refused and not (run.processed or summary.finished_before):
                raise summary.refused
            if run.processed:
                stage.end_shards()
                summary.figures = stage.summary()
    finally:
        remove_spooled()
        terminal.count(**summary.counts.ended())
    summary.seconds = time.monotonic() - started
    return summary


@dataclass
class _Run:
    """State of one run.

    Attributes:
        processed: number of outputs that were processed.
        skipped: outputs that were left as they are.
    """

    plan: RunPlan
    control: Control
    summary: RunSummary
    shared_runner: SharedRunner
    processed: int = 0
    skipped: SkippedOutputs = field(default_factory=SkippedOutputs)
    _first_pass_done: bool = False
    _in_first_pass: bool = False
    """True while an error concerns all outputs."""
    _batched: Counter[str] = field(default_factory=Counter)
    """Replies that batches of this run brought, by output."""
    _leftovers: Leftovers = field(default_factory=Leftovers)

    def _is_finished(self, job: Job, record: RunRecord | None = None) -> bool:
        """Return whether the job's outputs are finished, and add them to the summary if so."""
        manifest = self.plan.finished(job, record)
        if manifest is None or job.outputs is None:
            return False
        rejects = side_path(job.record_path, "rejects")
        self.summary.add_finished(job.outputs.values(), rejects, manifest)
        return True

    def process(self, jobs: Sequence[Job]) -> None:
        """Process each job from its lines to published files, under its lock. Refused outputs are
        found before the work begins, as far as possible."""
        unfinished = []
        for job in jobs:
            with self._refusing(job):
                job.check_names()
                if not self._is_finished(job):
                    unfinished.append(job)
        if self.plan.stage.ranks_queries and unfinished and len(self.plan.jobs) > 1:
            unfinished = self._refuse_split_queries(unfinished)
        if self.plan.options.batch:
            with ExitStack() as held:
                begun = []
                for job in unfinished:
                    with self._refusing(job):
                        begun += [pair] if (pair := self._begin(job, held)) else []
                begun = self._ask_in_batches(begun)
                for job, record in begun:
                    with self._refusing(job):
                        self._work(job, record)
            return
        for job in unfinished:
            with self._refusing(job), ExitStack() as held:
                if pair := self._begin(job, held):
                    self._work(*pair)

    def _refuse_split_queries(self, jobs: Sequence[Job]) -> list[Job]:
        """Refuse the jobs with a query whose rows are in two shards; return the others."""
        queries = split_queries(
            self.plan.jobs, self.plan.stage.group_of, self._rows, self._refusing
        )
        for job in jobs:
            if id(job) in queries:
                self.skipped.add_split_queries(job.name, queries[id(job)])
        refused = {output.output for output in self.skipped.items}
        return [job for job in jobs if job.name not in refused]

    @contextmanager
    def _refusing(self, job: Job) -> Iterator[None]:
        """Record an error that concerns one of several jobs, so that the others are processed."""
        try:
            yield
        except OUTPUT_ERRORS as error:
            if len(self.plan.jobs) == 1 or self._in_first_pass:
                raise
            self.skipped.add(job.name, error)

    def _begin(self, job: Job, held: ExitStack) -> tuple[Job, RunRecord] | None:
        """Lock a job and begin its record; return None if another run has finished it."""
        if self.plan.options.batch and job.outputs is None:
            raise UsageError("--batch goes over the rows several times; name a file with -o")
        job = self._lock(job, held)
        record = self.plan.record(job)
        if self._is_finished(job, record):
            return None
        accept = self.plan.options.accept_lost_replies
        check_paid_replies(job.record_path, ledger_path(job.home), accept_lost=accept)
        with self.control.interruptible(AT_ONCE):
            self.plan.stage.prepare(row for *_, row in self._rows([job]))
        record.plan = self.plan.stage.batch_plan()
        options, shared_runner = self.plan.options, self.shared_runner
        record.begin(
            partial(shared_runner.fresh_start, record) if options.fresh else None,
            shared_runner.for_output(record).mark if options.retry_final else None,
        )
        self._leftovers.remove(job)
        crash_point("after-claim")
        return job, record

    def _work(self, job: Job, record: RunRecord) -> None:
        runner = self.shared_runner.for_output(record)
        runner.totals.from_ledger -= self._batched[record.output_id]
        self.plan.stage.begin_shard()
        self._first_pass(self.plan.stage, job)
        self.plan.stage.apply_batch_plan(record.manifest.batch_plan)
        try:
            self._write_outputs(job, record, runner)
        except (PrismError, OSError):
            record.manifest.batch_plan |= self.plan.stage.batch_plan()
            record.stopped(runner.usage())
            raise
        else:
            self.processed += 1
        finally:
            self.summary.usage.add(runner.totals)

    def _first_pass(self, stage: RowStage, job: Job) -> None:
        """Run the stage's first pass, if it needs one before the work on `job`."""
        if stage.needs_first_pass_per_shard:
            stage.first_pass(row for *_, row in self._rows([job]))
        elif stage.needs_first_pass and not self._first_pass_done:
            self._in_first_pass = True
            stage.first_pass(row for *_, row in self._rows(self.plan.jobs))
            self._in_first_pass, self._first_pass_done = False, True

    def _rows(self, jobs: Sequence[Job]) -> Iterator[LocatedRow]:
        options = self.plan.options
        return well_formed_rows(self.plan.stage, jobs, options.fields, options.limit, self.control)

    def _ask_in_batches(self, begun: list[tuple[Job, RunRecord]]) -> list[tuple[Job, RunRecord]]:
        """Alternate dry passes over all rows and batches until the ledger has the replies that the
        rows need; return the jobs whose rows could be read."""
        try:
            while begun:
                stage, readable = self.plan.stage.new_copy(), []
                for job, record in begun:
                    with self._refusing(job):
                        self._dry_pass(stage, job, record)
                        readable.append((job, record))
                begun, self._first_pass_done = readable, False
                if not begun:
                    break
                if not self.shared_runner.for_output(begun[0][1]).exchange_batches():
                    break
        except (PrismError, OSError):
            for _, record in begun:
                record.stopped(self.shared_runner.for_output(record).usage())
            raise
        return begun

    def _dry_pass(self, stage: RowStage, job: Job, record: RunRecord) -> None:
        runner = self.shared_runner.for_output(record)
        self._first_pass(stage, job)
        progress, fields = Progress(job.label, None), self.plan.options.fields
        work = ShardPass(stage, runner, Sinks.discard(stage.outputs), progress, fields)
        try:
            work.run(self.plan.lines(job, record.digests))
        except OUTPUT_ERRORS:
            record.stopped(runner.usage())
            raise
        self._batched[record.output_id] += runner.totals.asked
        self.summary.usage.add(replace(runner.totals, from_ledger=0, shared=0))

    def _write_outputs(self, job: Job, record: RunRecord, runner: RequestRunner) -> None:
        stage, options = self.plan.stage, self.plan.options
        label = f"{stage.name} {job.label}"
        with ExitStack() as stack:
            files = OutputFiles(job, record.manifest.attempt, stack)
            total = count_lines(record, options.limit)
            progress = stack.enter_context(show_progress(label, total, quiet=options.quiet))
            work = ShardPass(stage, runner, files.sinks(), progress, options.fields)
            with Heartbeat(job.record_path, work.snapshot, **self._job_info(job, record)):
                try:
                    counts = work.run(self.plan.lines(job, record.digests))
                finally:
                    self.summary.counts.add(work.counts)
                    self.summary.reject_examples.add_all(work.reject_examples)
            files.finish()
            for reason, count in work.pending_reasons.items():
                self.summary.pending_reasons.add(reason, count)
            record.manifest.batch_plan |= stage.batch_plan()
            record.account(counts.as_dict(), runner.usage(), stage.summary())
            outputs = [str(path) for path in (job.outputs or {}).values()]
            if counts.pending and not options.accept_pending and job.outputs is not None:
                self.summary.unpublished += outputs
                record.finish(finished=False)
                return
            record.publishing(files.records)
            self.summary.side_files += map(str, files.publish())
            self.summary.outputs += outputs
            record.finish(finished=not counts.pending)
            if not counts.pending:
                remove_heartbeat(job.record_path)

    def _job_info(self, job: Job, record: RunRecord) -> dict[str, Any]:
        """Return the fixed part of the job's heartbeat."""
        position = next(
            number for number, other in enumerate(self.plan.jobs, 1) if other.inputs is job.inputs
        )
        return {
            "stage": self.plan.stage.name,
            "attempts": record.manifest.attempts,
            "job": position,
            "jobs": len(self.plan.jobs),
            "ledger": str(ledger_path(self.plan.jobs[0].home).absolute()),
        }

    def _lock(self, job: Job, held: ExitStack) -> Job:
        """Take the job's lock. Concurrent runs to standard output get numbered records."""
        for number in range(1, _STDOUT_RUNS):
            numbered = job if number == 1 else job.numbered(number)
            try:
                held.enter_context(output_lock(numbered.record_path))
            except LockedError:
                if job.outputs is not None:
                    raise
            else:
                return numbered
        raise LockedError(
            f"{job.record_path}: {_STDOUT_RUNS} runs to standard output are in progress"
        )
