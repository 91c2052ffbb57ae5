"""The fold that `eval quality` ends in: rows.jsonl in; report.html, then metrics.json out."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from prism_cli.engine.control import Control
from prism_cli.engine.counts import Counts
from prism_cli.engine.heartbeat import remove_heartbeat
from prism_cli.engine.job_record import job_record
from prism_cli.engine.jobs import Job
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.summary import DEFAULT_MAX_REJECTS
from prism_cli.errors import NothingMeasuredError
from prism_cli.evaluation.metrics_file import (
    METRICS,
    REPORT,
    library_versions,
    provenance,
    publish,
    read_metrics,
)
from prism_cli.evaluation.quality.figures import QualityFigures
from prism_cli.evaluation.quality.filled_sheets import FilledSheet
from prism_cli.evaluation.quality.gold_rows import GoldFigures
from prism_cli.reporting.quality import page as quality_page
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.file_guard import FileGuard
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.reader import Shard
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.writer import sweep_folder

ROWS = "rows.jsonl"
_LIBRARIES = ("numpy", "torch", "transformers", "sentence-transformers")


@dataclass(frozen=True)
class QualityOptions:
    """How the figures are made.

    Attributes:
        output: the folder.
        config: all that decides them besides inputs and gold.
        gold: what its files held; None without gold.
        command: as provenance names it.
        models: spec -> fingerprint.
        judge: who rates: {"spec", "in_panel": where it was found to have labelled the rows, or
            None}; {} without.
        sheets: people's ratings.
        overwrite: replace what another evaluation left there.
    """

    output: Path
    config: Mapping[str, Any]
    seed: int
    gold: GoldFigures | None = None
    command: Sequence[str] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    judge: Mapping[str, str | None] = field(default_factory=dict)
    sheets: Sequence[FilledSheet] = ()
    overwrite: bool = False
    max_rejects: float = DEFAULT_MAX_REJECTS
    quiet: bool = False


@dataclass(frozen=True)
class QualitySummary:
    """What was published: the content of metrics.json at `path`."""

    metrics: dict[str, Any]
    path: Path
    finished_before: bool


def check_output(options: QualityOptions) -> FileGuard:
    """Refuse, before any work, a folder that holds another evaluation; what it holds, by which to
    check, after the work, that it is as it was.

    Raises:
        ChangedInputError: it does.
    """
    papers = _papers(options)
    if not options.overwrite:
        papers.finished()
    return papers.guard


def evaluate(options: QualityOptions) -> QualitySummary:
    """Add up the rows that the stage left in the folder, and publish.

    Raises:
        ChangedInputError, LockedError, StorageError.
        NothingMeasuredError: the stage left no row.
        InterruptedRunError: stopped early; the same command goes on.
    """
    path, rows = options.output / METRICS, options.output / ROWS
    control = Control()
    with ExitStack() as stack:
        stack.enter_context(control.handle_signals())
        stack.enter_context(output_lock(path))
        seen = digest_file(rows)
        papers = _papers(options)
        made = None if options.overwrite else papers.finished()
        of = {"rows_sha256": seen.sha256, "sheets": _hashes(options)}
        if made and made["figures"] == of:
            return QualitySummary(read_metrics(path), path, True)
        if not seen.bytes:
            raise _nothing_measured(rows, options.max_rejects)
        papers.begin()
        sweep_folder(path.parent)
        measured = QualityFigures(
            options.seed, options.gold.rows if options.gold else 0, options.sheets
        )
        label = f"quality: {rows.name}"
        with show_progress(
            label, seen.line_ends, quiet=options.quiet, record_path=path
        ) as progress:
            for number, line in enumerate(Shard(rows, str(rows)).lines(seen)):
                if number % 1024 == 0:
                    control.check()
                measured.add(orjson.loads(line))
                progress.advance(1, 0.0)
        content = measured.content()
        content["gold"] = asdict(options.gold) | content["gold"] if options.gold else {}
        content |= {"judge": dict(options.judge)} | _origins(options, rows)
        publish(path, "quality", content, quality_page(content), papers.publishing)
        papers.account(Counts().as_dict(), {}, of)
        papers.finish(finished=True)
        remove_heartbeat(path)
    return QualitySummary(read_metrics(path), path, False)


def _papers(options: QualityOptions) -> RunRecord:
    path = options.output / METRICS
    job = Job([], {"": path}, path)
    return job_record(job, "quality", options.config, also=[path.with_name(REPORT)])


def _nothing_measured(rows: Path, max_rejects: float) -> NothingMeasuredError:
    made = read_manifest(manifest_path(rows)) or {}
    names = ", ".join(one["path"] for one in made.get("inputs", ())) or str(rows)
    counts = made.get("counts", {})
    count, rejected = (int(counts.get(name, 0)) for name in ("rows", "rejected"))
    return NothingMeasuredError(names, count, rejected, too_many=rejected > max_rejects * count)


def _hashes(options: QualityOptions) -> dict[str, str]:
    return {sheet.name: sheet.sha256 for sheet in options.sheets}


def _origins(options: QualityOptions, rows: Path) -> dict[str, Any]:
    """What became of the input's rows, and provenance."""
    made = read_manifest(manifest_path(rows)) or {}
    records = [*made.get("inputs", ()), *made.get("dependencies", ())]
    counts = made.get("counts", {})
    return {
        "input_rows": {name: counts.get(name, 0) for name in ("rows", "rejected", "pending")},
        "provenance": provenance(
            options.command,
            options.config,
            library_versions(_LIBRARIES),
            {one["path"]: one["sha256"] for one in records} | _hashes(options),
            options.models,
        ),
    }
