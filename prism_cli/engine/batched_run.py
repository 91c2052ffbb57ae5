"""Runs with batch files: dry passes over all rows collect the requests, batches answer them, and a
last pass writes the outputs."""

import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

from prism_cli.engine.jobs import Job
from prism_cli.engine.progress import Progress
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.shard import ShardPass
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.sinks import Sinks
from prism_cli.engine.skipped_outputs import OUTPUT_ERRORS
from prism_cli.engine.spread import Spread
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import PrismError, UsageError
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.state import ledger_path


def _allow_open_files() -> None:
    """Let the process have as many open files as it may, as each shard's lock is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses its own infinity
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Begun:
    """A job under its lock."""

    def __init__(self, job: Job, record: RunRecord, report: ShardReport) -> None:
        self.job, self.record, self.report = job, record, report
        self.from_batches = 0


class Batched(Spread):
    """Spread of a run with batch files: all shards are locked, asked for together, and written.

    Args:
        survey: tells a stage what it must know of all shards.
    """

    def __init__(self, survey: Callable[[RowStage], None]) -> None:
        self._survey = survey

    name = "here"

    def work(
        self, jobs: Sequence[Job], worker: ShardWorker, _board: RunBoard
    ) -> Iterator[ShardReport]:
        """Yield the report of each shard.

        Raises: as `BatchRunner.exchange`.
        """
        ledgers = len({ledger_path(job.home) for job in jobs})
        if ledgers > 1:
            raise UsageError(
                f"--batch: the outputs are in {ledgers} folders, each with a ledger of its own, "
                "and a batch has one ledger. Name a folder for all outputs with -o, or set "
                "PRISM_STATE to the folder of one ledger. Nothing was sent"
            )
        _allow_open_files()
        with ExitStack() as held:
            waiting: list[_Begun] = []
            for job in jobs:
                if job.outputs is None:
                    raise UsageError(
                        "--batch goes over the rows several times; name a file with -o"
                    )
                report = ShardReport(job.name, RunSummary(worker.plan.stage.name))
                try:
                    begun = worker.begin(job, report.summary, held)
                except (PrismError, OSError) as error:
                    begun, report.error = None, error
                if begun:
                    waiting.append(_Begun(*begun, report))
                else:
                    yield report
            yield from self._ask(waiting, worker)
            for each in waiting:
                try:
                    worker.write(each.job, each.record, each.report.summary, each.from_batches)
                except (PrismError, OSError) as error:
                    each.report.error = error
                yield each.report

    def _ask(self, waiting: list[_Begun], worker: ShardWorker) -> Iterator[ShardReport]:
        """Alternate dry passes over all rows and batches until the ledger has the replies that the
        rows need; yield, and remove, the jobs whose rows cannot be read."""
        try:
            while waiting:
                stage = worker.plan.stage.new_copy()
                self._survey(stage)
                for each in list(waiting):
                    try:
                        self._dry_pass(stage, each, worker)
                    except OUTPUT_ERRORS as error:
                        each.report.error = error
                        waiting.remove(each)
                        yield each.report
                if not waiting:
                    break
                if not worker.shared_runner.for_output(waiting[0].record).exchange_batches():
                    break
        except (PrismError, OSError):
            for each in waiting:
                each.record.stopped(worker.shared_runner.for_output(each.record).usage())
            raise

    @staticmethod
    def _dry_pass(stage: RowStage, each: _Begun, worker: ShardWorker) -> None:
        runner = worker.shared_runner.for_output(each.record)
        worker.first_pass(stage, each.job, each.record)
        progress, fields = Progress(each.job.label, None), worker.plan.options.fields
        work = ShardPass(stage, runner, Sinks.discard(stage.outputs), progress, fields)
        try:
            digests = each.record.digests
            work.learn(worker.plan.lines(each.job, digests), 0)
            work.run(worker.plan.lines(each.job, digests))
        except OUTPUT_ERRORS:
            each.record.stopped(runner.usage())
            raise
        each.from_batches += runner.totals.asked
        each.report.summary.usage.add(replace(runner.totals, from_ledger=0, shared=0))
