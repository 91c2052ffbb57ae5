"""Work on shards: each under its lock, with its run record, published as a whole.

`ShardWorker.work` is what every way to spread a run calls, in this process or another: the bytes of
an output depend on the shard, the settings and the survey, and on nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prism_cli.engine.control import AT_ONCE, Control
from prism_cli.engine.crash import crash_point
from prism_cli.engine.heartbeat import Heartbeat, RowRate, refuse_claimed, remove_heartbeat
from prism_cli.engine.job_record import count_lines
from prism_cli.engine.jobs import Job, Line
from prism_cli.engine.located_rows import well_formed_rows
from prism_cli.engine.lost_replies import check_paid_replies, killed_calls
from prism_cli.engine.numbered_files import output_files
from prism_cli.engine.output_files import Leftovers
from prism_cli.engine.progress_display import show_notice, show_progress
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.engine.run_plan import RunPlan
from prism_cli.engine.shard import ShardPass
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shared_runner import SharedRunner
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import ChangedInputError, LockedError, PrismError, ShardLostError
from prism_cli.files.names import shown_name
from prism_cli.shards.file_digest import FileDigest
from prism_cli.shards.lock import output_lock
from prism_cli.shards.remote.claims import Claim
from prism_cli.shards.remote.inputs import copies_held
from prism_cli.shards.remote.requests import stoppable
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.state import ledger_path

_STDOUT_RUNS = 1000
"""Concurrent runs to standard output whose records one state directory holds."""


@dataclass
class ShardWorker:
    """Works shards one after another; a model is loaded once.

    Attributes:
        plan: the stage, the options, and the jobs of the whole run.
        control: stops the work; signal handlers are the business of the process's owner.
        surveyed: result of the stage's survey, which every worker of the run is told; None before,
            or without one.
        sizes: bytes of each input file by name, before the run was surveyed.
        work_shown: the pass in progress, for its snapshot; None between shards.
    """

    plan: RunPlan
    control: Control
    shared_runner: SharedRunner
    surveyed: bytes | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    work_shown: ShardPass | None = None
    _claims: dict[str, Claim] = field(default_factory=dict)
    _leftovers: Leftovers = field(default_factory=Leftovers)
    _rate: RowRate = field(default_factory=RowRate)

    def work(self, job: Job) -> ShardReport:
        """Work one shard from its lines to published files; return what became of it, errors
        included."""
        report = ShardReport(job.name, RunSummary(self.plan.stage.name))
        notify = partial(show_notice, quiet=self.plan.options.quiet)
        try:
            with (
                copies_held(),
                stoppable(self.control.check_signal, notify),
                ExitStack() as held,
            ):
                if begun := self.begin(job, report.summary, held):
                    self.write(*begun, report.summary)
        except (PrismError, OSError) as error:
            report.error = error
        return report

    def begin(self, job: Job, summary: RunSummary, held: ExitStack) -> tuple[Job, RunRecord] | None:
        """Lock a job and begin its record; return None if another run has finished it."""
        options = self.plan.options
        job, excludes_others = self._lock(job, held)
        record = self.plan.record(job)
        if self.plan.is_finished(job, summary, record):
            return None
        if staged := self.plan.staged(job):
            self._claims[job.name] = held.enter_context(staged.claim(self.plan.command))
            if staged.is_changed:
                record = self.plan.record(job)
                if self.plan.is_finished(job, summary, record):
                    return None
        may_be_claimed = options.shared and not excludes_others
        if may_be_claimed:
            refuse_claimed(job.record_path)
        check_paid_replies(
            job.record_path, ledger_path(job.home), accept_lost=options.accept_lost_replies
        )
        with self.control.interruptible(AT_ONCE):
            self.plan.stage.prepare(row for *_, row in self.rows([job]))
        if may_be_claimed:  # while the model was loaded
            refuse_claimed(job.record_path)
            record = self.plan.record(job)
            if self.plan.is_finished(job, summary, record):
                return None
        self._refuse_unsurveyed(record)
        record.plan = self.plan.stage.batch_plan()
        killed = killed_calls(job.record_path)  # read before the attempt begins
        record.begin(
            partial(self.shared_runner.fresh_start, record) if options.fresh else None,
            partial(self.shared_runner.mark, record) if options.retry_final else None,
            partial(self.shared_runner.run_mark, record) if options.again else None,
            alone=not may_be_claimed,
        )
        if killed:
            self.shared_runner.for_output(record).count_killed(killed)
        self._leftovers.remove(job)
        lost = record.manifest.lost
        if options.shard_attempts is not None and lost >= options.shard_attempts:
            raise ShardLostError(
                f"{job.name}: {lost} attempts in a row were killed; it was left as it is. "
                f"--shard-attempts {lost + 1} tries again"
            )
        crash_point("after-claim")
        return job, record

    def _refuse_unsurveyed(self, record: RunRecord) -> None:
        """Raise ChangedInputError if an input has rows that no survey has seen."""
        for name, digest in record.digests.items() if self.sizes else ():
            if (before := self.sizes.get(name, digest.bytes)) != digest.bytes:
                raise ChangedInputError(
                    f"{name}: had {before:,} bytes when this run looked at all rows, and has "
                    f"{digest.bytes:,} now; nothing was made of it, whatever --limit says. Run the "
                    "same command again when its writer is done"
                )

    def write(
        self, job: Job, record: RunRecord, summary: RunSummary, from_batches: int = 0
    ) -> None:
        """Process the rows of a job that was begun and publish its outputs.

        Args:
            from_batches: replies that batches of this run brought for it.
        """
        stage, runner = self.plan.stage, self.shared_runner.for_output(record)
        runner.totals.from_ledger -= from_batches
        stage.begin_shard()
        self.first_pass(stage, job, record)
        stage.apply_batch_plan(record.manifest.batch_plan)
        try:
            self._write_outputs(job, record, runner, summary)
        except (PrismError, OSError):
            record.manifest.batch_plan |= stage.batch_plan()
            record.stopped(runner.usage())
            raise
        finally:
            self.work_shown = None
            summary.usage.add(runner.totals)
            spent = record.manifest.usage
            summary.spent.update({name: spent.get(name, 0) for name in ("asked", "usd")})

    def first_pass(self, stage: RowStage, job: Job, record: RunRecord) -> None:
        """Run the stage's first pass over the shard, if it needs one."""
        if stage.needs_first_pass_per_shard:
            stage.first_pass(row for *_, row in self.rows([job], record.digests))

    def rows(
        self, jobs: Sequence[Job], measured: Mapping[str, FileDigest] | None = None
    ) -> Iterator[LocatedRow]:
        """Yield the rows of jobs that the stage accepts; see `well_formed_rows`."""
        stage, options = self.plan.stage, self.plan.options
        return well_formed_rows(stage, jobs, options.fields, options.limit, self.control, measured)

    def _write_outputs(
        self, job: Job, record: RunRecord, runner: RequestRunner, summary: RunSummary
    ) -> None:
        stage, options = self.plan.stage, self.plan.options
        label = f"{stage.name} {job.label}"
        with ExitStack() as stack:
            staged, claim = self.plan.staged(job), self._claims.pop(job.name, None)
            ship = partial(staged.ship, claim=claim) if staged and claim else None
            files = output_files(stage, job, record.manifest.attempt, stack, ship)
            total = count_lines(record, options.limit)
            progress = stack.enter_context(show_progress(label, total, quiet=options.quiet))
            work = ShardPass(stage, runner, files.sinks(), progress, options.fields)
            self.work_shown = work
            info = self._job_info(job, record)
            # Until the end, since it claims the output where locks do not.
            stack.enter_context(Heartbeat(job.record_path, work.snapshot, self._rate, **info))
            try:
                work.learn(self.plan.lines(job, record.digests))
                lines = self.plan.lines(job, record.digests)
                counts = work.run(_while_held(lines, claim) if claim else lines)
            finally:
                summary.counts.add(work.counts)
                summary.reject_examples.add_all(work.reject_examples)
            files.finish()
            for reason, count in work.pending_reasons.items():
                summary.pending_reasons.add(reason, count)
            record.manifest.batch_plan |= stage.batch_plan()
            record.account(counts.as_dict(), runner.usage(), stage.summary())
            outputs = [str(path) for path in files.paths]
            if counts.pending and not options.accept_pending and job.outputs is not None:
                summary.unpublished += outputs
                record.finish(finished=False)
                return
            record.publishing(files.records)
            side_files = files.publish()
            record.finish(finished=not counts.pending)
            if staged and claim:
                staged.publish(claim)
            summary.side_files += map(str, side_files)
            summary.outputs += outputs
        if not counts.pending:
            remove_heartbeat(job.record_path)
            if job.of > 1:  # a single file may grow, and then needs the replies
                self.shared_runner.forget_local(record)

    def _job_info(self, job: Job, record: RunRecord) -> dict[str, Any]:
        """Return the fixed part of the job's heartbeat."""
        return {
            "stage": self.plan.stage.name,
            "attempts": record.manifest.attempts,
            "job": job.number,
            "jobs": job.of,
            "ledger": shown_name(ledger_path(job.home).absolute()),
        }

    def _lock(self, job: Job, held: ExitStack) -> tuple[Job, bool]:
        """Take the job's lock; return whether it is sure to exclude others. Concurrent runs to
        standard output get numbered records."""
        for number in range(1, _STDOUT_RUNS):
            numbered = job if number == 1 else job.with_record(number)
            try:
                excludes_others = held.enter_context(output_lock(numbered.record_path))
            except LockedError:
                if job.outputs is not None:
                    raise
            else:
                return numbered, excludes_others
        raise LockedError(
            f"{job.record_path}: {_STDOUT_RUNS} runs to standard output are in progress"
        )


def _while_held(lines: Iterator[Line], claim: Claim) -> Iterator[Line]:
    """Yield the lines until the claim is lost, so that no more is asked for them."""
    for line in lines:
        claim.raise_if_lost()
        yield line
