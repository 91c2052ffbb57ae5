"""`prism eval labels`: reads rows; writes rows for review, report.html, then metrics.json."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from prism_cli.engine.control import Control
from prism_cli.engine.counts import Counts
from prism_cli.engine.heartbeat import remove_heartbeat
from prism_cli.engine.job_record import count_lines, job_record
from prism_cli.engine.jobs import Job, read_lines
from prism_cli.engine.output_files import SideFile
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.rejects import DEFAULT_MAX_REJECTS, too_many_rejects
from prism_cli.errors import NothingMeasuredError, PrismError, RowError, UsageError
from prism_cli.evaluation.labels.figures import LabelFigures
from prism_cli.evaluation.metrics_file import (
    METRICS,
    REPORT,
    PublishedMetrics,
    library_versions,
    provenance,
    publish,
    read_metrics,
)
from prism_cli.evaluation.options import EvaluationOptions
from prism_cli.reporting.labels import page
from prism_cli.rows.decode import decode_row, set_aside
from prism_cli.rows.row import Rejected, Row, RowRef
from prism_cli.shards.lock import output_lock
from prism_cli.shards.reader import Shard, find_shards, remove_spooled
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.writer import OutputRecord, sweep_folder
from prism_cli.stages.pair_answers import PairAnswers

REVIEW, REJECTS = "review.jsonl", "labels.rejects.jsonl"
_LIBRARIES = ("numpy", "matplotlib")
_CHECK_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class LabelsOptions(EvaluationOptions):
    """Settings of an evaluation of labels.

    Attributes:
        review: number of rows with the largest disagreement to export.
        limit: only the first `limit` rows.
        fields: contract name -> name in the input.
    """

    review: int
    limit: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    max_seconds: float | None = None
    max_rejects: float = DEFAULT_MAX_REJECTS


def evaluate_labels(inputs: Sequence[str], options: LabelsOptions) -> PublishedMetrics:
    """Read all rows once and publish the figures.

    Raises:
        MissingDataError, ChangedInputError, LockedError, StorageError.
        UsageError: an output would replace an input.
        NothingMeasuredError: there are no rows, or all were rejected.
        InterruptedRunError, LimitReachedError: stopped early; the same command starts again.
    """
    try:
        return _evaluate(find_shards(inputs), options)
    finally:
        remove_spooled()


def _evaluate(shards: Sequence[Shard], options: LabelsOptions) -> PublishedMetrics:
    path = options.output / METRICS
    control = Control(options.max_seconds)
    _refuse_own_files(shards, options.output)
    with ExitStack() as stack:
        stack.enter_context(control.handle_signals())
        stack.enter_context(output_lock(path))
        settings = {**options.config, "limit": options.limit, "fields": dict(options.fields)}
        also = [options.output / name for name in (REVIEW, REJECTS, REPORT)]
        job = Job(shards, {"": path}, path)
        record = job_record(job, "labels", settings, also=also)
        if not options.overwrite and record.finished() is not None:
            return PublishedMetrics(read_metrics(path), path, True)
        record.begin()
        sweep_folder(path.parent)
        rejects = SideFile(options.output / REJECTS)
        stack.callback(rejects.discard)
        figures, counts = LabelFigures(options.seed, options.review), Counts()
        answers = PairAnswers()
        try:
            for row in _rows(job, record, options, control, figures, rejects, counts, answers):
                figures.add(row)
                counts.done += 1
            counts.rows = counts.done + counts.rejected + counts.dropped.total()
            if not counts.done:
                raise _nothing_measured(record, rejects, counts, options)
        except (PrismError, OSError):
            record.stopped({})
            raise
        content = figures.content() | {
            "input_rows": {"rows": counts.rows, "rejected": counts.rejected},
            "provenance": provenance(
                options.command,
                settings,
                library_versions(_LIBRARIES),
                {shard.name: record.digests[shard.name].sha256 for shard in shards},
                {},
            ),
        }
        if contradictory := answers.figures():
            content["contradictory"] = contradictory
        review = [
            row | {"disagreement": disagreement} for disagreement, row in figures.review.rows()
        ]
        counts.written = len(review)
        lines = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in review)
        rejects.finish()

        def announce(records: Mapping[str, OutputRecord]) -> None:
            record.publishing(records)
            rejects.publish()

        publish(path, "labels", content, page(content), announce, {REVIEW: lines})
        record.account(counts.as_dict(), {}, {})
        record.finish(finished=True)
        remove_heartbeat(path)
    return PublishedMetrics(read_metrics(path), path, False)


def _nothing_measured(
    record: RunRecord, rejects: SideFile, counts: Counts, options: LabelsOptions
) -> NothingMeasuredError:
    """Publish the rejected rows, and return the error for a run without figures."""
    names = ", ".join(record.digests)
    where = f"{names} (see {rejects.path})" if counts.rejected else names
    rejects.finish()
    record.publishing({})
    rejects.publish()
    too_many = too_many_rejects(counts.rejected, counts.rows, options.max_rejects)
    return NothingMeasuredError(where, counts.rows, counts.rejected, too_many=too_many)


def _rows(
    job: Job,
    record: RunRecord,
    options: LabelsOptions,
    control: Control,
    figures: LabelFigures,
    rejects: SideFile,
    counts: Counts,
    answers: PairAnswers,
) -> Iterator[Row]:
    """Yield the well-formed rows; reject and count the others."""
    total = count_lines(record)
    if total is not None and options.limit is not None:
        total = min(total, options.limit)
    label = f"eval labels {job.label}"
    with show_progress(
        label, total, quiet=options.quiet, record_path=record.record_path
    ) as progress:
        lines = read_lines(job.inputs, record.digests, options.limit, options.fields)
        for number, (name, place, raw) in enumerate(lines, 1):
            if number % _CHECK_ROWS == 0:
                control.check()
                progress.show(number, 0.0)
            if not raw.strip():
                counts.blank += 1
                continue
            try:
                row = decode_row(raw, options.fields)
                figures.check(row)
            except RowError as error:
                outcome = set_aside(RowRef(name, place), raw, error)
                if isinstance(outcome, Rejected):
                    rejects.write(outcome.line)
                    counts.rejected += 1
                else:
                    counts.dropped[outcome.reason] += 1
                continue
            answers.note(row, (name, place))
            yield row


def _refuse_own_files(shards: Sequence[Shard], folder: Path) -> None:
    outputs = {(folder / name).resolve() for name in (REVIEW, REJECTS, METRICS)}
    for shard in shards:
        if shard.path.resolve() in outputs:
            raise UsageError(
                f"{shard.name}: is an input of this command, and would be replaced by it; name "
                "another folder with -o"
            )
