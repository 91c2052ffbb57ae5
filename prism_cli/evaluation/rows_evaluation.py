"""Last step of an evaluation of rows: reads the rows.jsonl that a stage wrote to the folder; writes
report.html, then metrics.json."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import orjson

from prism_cli.engine.control import Control
from prism_cli.engine.counts import Counts
from prism_cli.engine.heartbeat import remove_heartbeat
from prism_cli.engine.job_record import job_record
from prism_cli.engine.jobs import Job
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.rejects import DEFAULT_MAX_REJECTS, too_many_rejects
from prism_cli.errors import NothingMeasuredError
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
from prism_cli.reporting.page import Page
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.file_guard import FileGuard
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.reader import Shard
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.writer import sweep_folder

ROWS = "rows.jsonl"
_LIBRARIES = ("numpy", "torch", "transformers", "sentence-transformers")


class Figures(Protocol):
    """Adds up rows.jsonl."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one line."""

    def content(self) -> dict[str, Any]:
        """Return the content of metrics.json, without input_rows and provenance."""


@dataclass(frozen=True, kw_only=True)
class RowsOptions(EvaluationOptions):
    """Settings of the figures; `config` has all that decides them, except inputs and gold.

    Attributes:
        kind: of metrics.json; the name of the record, too.
        models: spec -> fingerprint.
    """

    kind: ClassVar[str]
    models: Mapping[str, str] = field(default_factory=dict)
    max_rejects: float = DEFAULT_MAX_REJECTS


def check_output(options: RowsOptions) -> FileGuard:
    """Refuse a folder that holds another evaluation, before any work. Return the guard that checks
    after the work that its files are unchanged.

    Raises:
        ChangedInputError: the folder holds another evaluation.
    """
    record = _record(options)
    if not options.overwrite:
        record.finished()
    return record.guard


def evaluate_rows(
    options: RowsOptions,
    figures: Figures,
    page: Callable[[Mapping[str, Any]], Page],
    files: Mapping[str, Mapping[str, str]] | None = None,
) -> PublishedMetrics:
    """Compute the figures of the rows that the stage wrote to the folder, and publish them.

    Args:
        figures: before the first row.
        page: returns the report of the content of metrics.json.
        files: SHA-256 by name of further files that the figures depend on, by kind of file.

    Raises:
        ChangedInputError, LockedError, StorageError.
        NothingMeasuredError: the stage wrote no row.
        InterruptedRunError: stopped early; the same command continues.
    """
    path, rows = options.output / METRICS, options.output / ROWS
    control = Control()
    with ExitStack() as stack:
        stack.enter_context(control.handle_signals())
        stack.enter_context(output_lock(path))
        digest = digest_file(rows)
        record = _record(options)
        finished = None if options.overwrite else record.finished()
        sources = {"rows_sha256": digest.sha256, **(files or {})}
        if finished and finished["figures"] == sources:
            return PublishedMetrics(read_metrics(path), path, True)
        if not digest.bytes:
            raise _nothing_measured(rows, options.max_rejects)
        record.begin()
        sweep_folder(path.parent)
        label = f"{options.kind}: {rows.name}"
        with show_progress(
            label, digest.line_ends, quiet=options.quiet, record_path=path
        ) as progress:
            for number, line in enumerate(Shard(rows, str(rows)).lines(digest)):
                if number % 1024 == 0:
                    control.check()
                figures.add(orjson.loads(line))
                progress.advance(1, 0.0)
        content = figures.content()
        content |= _origins(options, rows, files or {})
        publish(path, options.kind, content, page(content), record.publishing)
        record.account(Counts().as_dict(), {}, sources)
        record.finish(finished=True)
        remove_heartbeat(path)
    return PublishedMetrics(read_metrics(path), path, False)


def _record(options: RowsOptions) -> RunRecord:
    path = options.output / METRICS
    job = Job([], {"": path}, path)
    return job_record(job, options.kind, options.config, also=[path.with_name(REPORT)])


def _nothing_measured(rows: Path, max_rejects: float) -> NothingMeasuredError:
    manifest = read_manifest(manifest_path(rows)) or {}
    names = ", ".join(record["path"] for record in manifest.get("inputs", ())) or str(rows)
    counts = manifest.get("counts", {})
    count, rejected = (int(counts.get(name, 0)) for name in ("rows", "rejected"))
    too_many = too_many_rejects(rejected, count, max_rejects)
    return NothingMeasuredError(names, count, rejected, too_many=too_many)


def _origins(
    options: RowsOptions, rows: Path, files: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Return the counts of the input's rows, and provenance."""
    manifest = read_manifest(manifest_path(rows)) or {}
    records = [*manifest.get("inputs", ()), *manifest.get("dependencies", ())]
    counts = manifest.get("counts", {})
    digests = {record["path"]: record["sha256"] for record in records}
    for more in files.values():
        digests |= more
    return {
        "input_rows": {name: counts.get(name, 0) for name in ("rows", "rejected", "pending")},
        "provenance": provenance(
            options.command,
            options.config,
            library_versions(_LIBRARIES),
            digests,
            options.models,
        ),
    }
