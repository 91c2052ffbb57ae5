"""The fold that `eval labels` is: rows in; rows for review, report.html, then metrics.json out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from prism_cli.engine.control import Control
from prism_cli.engine.counts import Counts
from prism_cli.engine.heartbeat import remove_heartbeat
from prism_cli.engine.job_record import count_lines, job_record
from prism_cli.engine.jobs import Job, read_lines
from prism_cli.engine.output_files import SideFile
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.summary import DEFAULT_MAX_REJECTS
from prism_cli.errors import NothingMeasuredError, PrismError, RowError, UsageError
from prism_cli.evaluation.labels.figures import LabelFigures
from prism_cli.evaluation.metrics_file import (
    METRICS,
    REPORT,
    library_versions,
    provenance,
    publish,
    read_metrics,
)
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


@dataclass(frozen=True)
class LabelsOptions:
    """How the figures are made.

    Attributes:
        output: the folder.
        config: the resolved settings.
        review: rows of the largest disagreement to export.
        limit: only the first so many rows.
        fields: contract name -> name in the input.
        command: as provenance names it.
    """

    output: Path
    config: Mapping[str, Any]
    seed: int
    review: int
    limit: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    overwrite: bool = False
    quiet: bool = False
    max_seconds: float | None = None
    max_rejects: float = DEFAULT_MAX_REJECTS


@dataclass(frozen=True)
class LabelsSummary:
    """What was published: the content of metrics.json at `path`."""

    metrics: dict[str, Any]
    path: Path
    finished_before: bool

    @property
    def rejected_share(self) -> float:
        """Of the rows, those that were set aside."""
        counts = self.metrics["input_rows"]
        return float(counts["rejected"] / max(counts["rows"], 1))


def evaluate_labels(inputs: Sequence[str], options: LabelsOptions) -> LabelsSummary:
    """Read all rows once, and publish.

    Raises:
        MissingDataError, ChangedInputError, LockedError, StorageError.
        UsageError: an input would be replaced.
        NothingMeasuredError: there are no rows, or all were set aside.
        InterruptedRunError, LimitReachedError: stopped early; the same command begins again.
    """
    try:
        return _evaluated(find_shards(inputs), options)
    finally:
        remove_spooled()


def _evaluated(shards: Sequence[Shard], options: LabelsOptions) -> LabelsSummary:
    path = options.output / METRICS
    control = Control(options.max_seconds)
    _refuse_own_files(shards, options.output)
    with ExitStack() as stack:
        stack.enter_context(control.handle_signals())
        stack.enter_context(output_lock(path))
        settings = {**options.config, "limit": options.limit, "fields": dict(options.fields)}
        also = [options.output / name for name in (REVIEW, REJECTS, REPORT)]
        job = Job(shards, {"": path}, path)
        papers = job_record(job, "labels", settings, also=also)
        if not options.overwrite and papers.finished() is not None:
            return LabelsSummary(read_metrics(path), path, True)
        papers.begin()
        sweep_folder(path.parent)
        rejects = SideFile(options.output / REJECTS)
        stack.callback(rejects.discard)
        measured, counts = LabelFigures(options.seed, options.review), Counts()
        answers = PairAnswers()
        try:
            for row in _rows(job, papers, options, control, measured, rejects, counts, answers):
                measured.add(row)
                counts.done += 1
            counts.rows = counts.done + counts.rejected + counts.dropped.total()
            if not counts.done:
                raise _nothing_measured(papers, rejects, counts, options)
        except (PrismError, OSError):
            papers.stopped({})
            raise
        content = measured.content() | {
            "input_rows": {"rows": counts.rows, "rejected": counts.rejected},
            "provenance": provenance(
                options.command,
                settings,
                library_versions(_LIBRARIES),
                {one.name: papers.digests[one.name].sha256 for one in shards},
                {},
            ),
        }
        if contradictory := answers.figures():
            content["contradictory"] = contradictory
        review = [row | {"disagreement": off} for off, row in measured.review.rows()]
        counts.written = len(review)
        lines = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in review)
        rejects.finish()

        def announce(records: Mapping[str, OutputRecord]) -> None:
            papers.publishing(records)
            rejects.publish()

        publish(path, "labels", content, page(content), announce, {REVIEW: lines})
        papers.account(counts.as_dict(), {}, {})
        papers.finish(finished=True)
        remove_heartbeat(path)
    return LabelsSummary(read_metrics(path), path, False)


def _nothing_measured(
    papers: RunRecord, rejects: SideFile, counts: Counts, options: LabelsOptions
) -> NothingMeasuredError:
    """The rejected rows are published all the same."""
    names = ", ".join(papers.digests)
    where = f"{names} (see {rejects.path})" if counts.rejected else names
    rejects.finish()
    papers.publishing({})
    rejects.publish()
    too_many = counts.rejected > options.max_rejects * counts.rows
    return NothingMeasuredError(where, counts.rows, counts.rejected, too_many=too_many)


def _rows(
    job: Job,
    papers: RunRecord,
    options: LabelsOptions,
    control: Control,
    measured: LabelFigures,
    rejects: SideFile,
    counts: Counts,
    answers: PairAnswers,
) -> Iterator[Row]:
    """The well-formed rows; the others are set aside and counted."""
    total = count_lines(papers)
    if total is not None and options.limit is not None:
        total = min(total, options.limit)
    label = f"eval labels {job.label}"
    with show_progress(
        label, total, quiet=options.quiet, record_path=papers.record_path
    ) as progress:
        lines = read_lines(job.inputs, papers.digests, options.limit, options.fields)
        for number, (name, place, raw) in enumerate(lines, 1):
            if number % _CHECK_ROWS == 0:
                control.check()
                progress.show(number, 0.0)
            if not raw.strip():
                counts.blank += 1
                continue
            try:
                row = decode_row(raw, options.fields)
                measured.check(row)
            except RowError as error:
                away = set_aside(RowRef(name, place), raw, error)
                if isinstance(away, Rejected):
                    rejects.write(away.line)
                    counts.rejected += 1
                else:
                    counts.dropped[away.reason] += 1
                continue
            answers.note(row, (name, place))
            yield row


def _refuse_own_files(shards: Sequence[Shard], folder: Path) -> None:
    own = {(folder / name).resolve() for name in (REVIEW, REJECTS, METRICS)}
    for one in shards:
        if one.path.resolve() in own:
            raise UsageError(
                f"{one.name}: is an input of this command, and would be replaced by it; name "
                "another folder with -o"
            )
