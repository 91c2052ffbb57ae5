"""Runs of row stages: plan, refuse what cannot be processed, spread the shards, sum up."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from prism_cli import terminal
from prism_cli.engine.asking_again import mark_paths
from prism_cli.engine.batched_run import Batched
from prism_cli.engine.control import Control, rare_collections
from prism_cli.engine.job_order import jobs_of_process
from prism_cli.engine.jobs import Job
from prism_cli.engine.orphans import outputs_without_input
from prism_cli.engine.output_files import remove_leftovers
from prism_cli.engine.progress_display import show_notice
from prism_cli.engine.run_board import RunBoard, has_company
from prism_cli.engine.run_options import RunOptions as RunOptions
from prism_cli.engine.run_plan import RunPlan, plan_run
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.shared_runner import SharedRunner
from prism_cli.engine.skipped_outputs import OUTPUT_ERRORS, SkippedOutputs
from prism_cli.engine.split_queries import split_queries, unsurveyed
from prism_cli.engine.spread import Here, Spread
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.engine.surveys import input_sizes, surveyed
from prism_cli.errors import ShardLostError
from prism_cli.shards.reader import Source, remove_spooled
from prism_cli.shards.remote.requests import stoppable

_ONE_OUTPUT = (
    "prism: there is one output, which one process works; `prism shard` writes the rows as shards, "
    "for several"
)

_GOES_ON = (
    "prism: an earlier run of this command, or another part of it, ended before all outputs were "
    "made again: what it finished is kept; remove {} to make it once more"
)


def run_rows(
    stage: RowStage,
    inputs: Sequence[str | Source],
    options: RunOptions | None = None,
    spread: Spread | None = None,
) -> RunSummary:
    """Run `stage` over `inputs` and publish its outputs.

    Of several outputs, those that cannot be processed are left as they are and listed in the
    summary's `refused`.

    Args:
        spread: hands the shards to workers; by default one after another in this process.

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
            notify = partial(show_notice, quiet=options.quiet)
            stack.enter_context(control.handle_signals(quiet=options.quiet))
            stack.enter_context(stoppable(control.check_signal, notify))
            stack.enter_context(rare_collections())
            plan = plan_run(stage, inputs, options)
            options = plan.options
            shared_runner = SharedRunner(stage.name, options, control)
            stack.callback(shared_runner.close)
            run = _Run(plan, ShardWorker(plan, control, shared_runner), summary)
            jobs = jobs_of_process(plan.jobs, options.part)
            if not has_company(plan.jobs[0].record_path.parent, plan.command):
                for path in mark_paths(options, plan.jobs):
                    notify(_GOES_ON.format(path))
            if options.shared and len(plan.jobs) == 1:
                notify(_ONE_OUTPUT)
            spread = spread or (Batched(run.survey) if options.batch else Here())
            stack.callback(spread.close)
            run.process(jobs, spread)
            remove_leftovers(jobs)
            summary.inputs_gone = outputs_without_input(stage.name, plan.jobs, inputs)
            summary.refused = run.skipped.error(len(jobs), run.processed)
            if not run.skipped.has_unfinished:
                plan.end_asking_again(jobs, {output.output for output in run.skipped.items})
            if summary.refused and not (run.processed or summary.finished_before):
                raise summary.refused
            if run.processed:
                stage.end_shards()
                # Of another process, figures such as that of the model are those of its last shard.
                summary.figures |= stage.summary()
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
    worker: ShardWorker
    summary: RunSummary
    processed: int = 0
    skipped: SkippedOutputs = field(default_factory=SkippedOutputs)

    def process(self, jobs: Sequence[Job], spread: Spread) -> None:
        """Process each job. Refused outputs are found before the work begins, as far as
        possible."""
        unfinished = []
        for job in jobs:
            with self._refusing(job):
                job.check_names()
                if not self.plan.is_finished(job, self.summary, listed=True):
                    unfinished.append(job)
        if unfinished and self.skipped.has_other_settings:
            error = self.skipped.error(len(jobs), None)
            assert error
            raise error
        self.plan.check_writable(unfinished)
        plan = self.plan
        board = RunBoard(plan.stage.name, spread.name, plan.jobs, plan.command)
        if unfinished:
            board.begin()
        looks_for_split = plan.stage.ranks_queries and len(plan.jobs) > 1
        if unfinished and (looks_for_split or plan.stage.survey):
            self.worker.sizes = input_sizes(plan.jobs)
        if unfinished and looks_for_split:
            spread.survey(unsurveyed(self.plan, self.worker.rows), self.worker, board)
            unfinished = self._refuse_split_queries(unfinished)
        if unfinished:
            self.survey(self.plan.stage)
        silent = dict.fromkeys(job.name for job in unfinished)
        try:
            board.add_skipped(self.skipped.items)
            board.save(now=True)
            for report in spread.work(unfinished, self.worker, board):
                silent.pop(report.name, None)
                self._add(report)
                if report.error:
                    board.add_skipped(self.skipped.items[-1:])
                board.save()
            for name in silent:
                lost = ShardLostError(f"{name}: {spread.name} handed it out and said nothing of it")
                self.skipped.add(name, lost)
        finally:
            board.save(now=True, ended=True)

    def survey(self, stage: RowStage) -> None:
        """Tell the stage what its survey found, if it has one."""
        if stage.survey:
            if self.worker.surveyed is None:
                self.worker.surveyed = surveyed(self.plan, stage.survey, self.worker.rows)
            stage.use_survey(self.worker.surveyed)

    def _add(self, report: ShardReport) -> None:
        self.summary.add(report.summary)
        self.summary.figures |= report.summary.figures
        self.plan.stage.add_counted(report.counted)
        self.processed += report.worked
        self.summary.by_others += bool(report.summary.finished_before)
        kinds = (*OUTPUT_ERRORS, ShardLostError)
        if isinstance(report.error, kinds) and len(self.plan.jobs) > 1:
            self.skipped.add(report.name, report.error)
        elif report.error:
            raise report.error

    def _refuse_split_queries(self, jobs: Sequence[Job]) -> list[Job]:
        """Refuse the jobs with a query whose rows are in two shards; return the others."""
        queries = split_queries(self.plan, self.worker.rows, self._refusing)
        names = {job.name for job in jobs}
        mend = queries.mending_command(self.plan) if queries.lines else ""
        for number, job in enumerate(self.plan.jobs):
            if number in queries.lines and job.name in names:
                self.skipped.add_split_queries(job.name, queries.of(number), mend)
        refused = {output.output for output in self.skipped.items}
        return [job for job in jobs if job.name not in refused]

    @contextmanager
    def _refusing(self, job: Job) -> Iterator[None]:
        """Record an error that concerns one of several jobs, so that the others are processed."""
        try:
            yield
        except OUTPUT_ERRORS as error:
            if len(self.plan.jobs) == 1:
                raise
            self.skipped.add(job.name, error)
