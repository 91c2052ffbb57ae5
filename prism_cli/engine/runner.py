"""Inputs to outputs: plan the jobs, guard each by lock and manifest, work it, publish it whole."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from prism_cli.engine.answering import Answerer, Tally
from prism_cli.engine.control import Control
from prism_cli.engine.jobs import Input, Job, plan_jobs
from prism_cli.engine.progress import shown_progress
from prism_cli.engine.shard import Counts, Line, ShardWork, Sinks
from prism_cli.engine.stage import RowStage
from prism_cli.errors import LockedError, RowError
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Row
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.manifest import InputRecord, Manifest, is_up_to_date, read_manifest
from prism_cli.shards.reader import Shard, Source, remove_spooled
from prism_cli.shards.state import state_directory
from prism_cli.shards.writer import PartFile

DEFAULT_MAX_REJECTS = 0.01


@dataclass(frozen=True)
class RunOptions:
    """How a run is done; `config` and `limit` also decide what comes out.

    Attributes:
        output: file or directory; None for the default place; Path("-") for standard output.
        max_rejects: share of rows, 0 to 1, above which the exit code is 4.
        config: the resolved config; a change of it is refused unless `overwrite`.
        dependencies: other files that decide the rows (corpus, qrels).
        fields: contract name -> name in the input.
    """

    output: Path | None = None
    limit: int | None = None
    overwrite: bool = False
    fresh: bool = False
    max_rejects: float = DEFAULT_MAX_REJECTS
    fields: Mapping[str, str] = field(default_factory=dict)
    accept_pending: bool = False
    max_seconds: float | None = None
    max_cost: float | None = None
    quiet: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Sequence[Path] = ()


@dataclass
class RunSummary:
    """What a run did, over all its outputs."""

    stage: str
    outputs: list[str] = field(default_factory=list)
    finished_before: list[str] = field(default_factory=list)
    unpublished: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    usage: Tally = field(default_factory=Tally)
    figures: dict[str, Any] = field(default_factory=dict)
    pending_reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    max_rejects: float = DEFAULT_MAX_REJECTS

    @property
    def exit_code(self) -> int:
        """5 where rows are pending and nothing was published, 4 where too many were rejected."""
        if self.unpublished:
            return 5
        if self.counts.rejected > self.max_rejects * self.counts.rows:
            return 4
        return 0

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "stage": self.stage,
            "outputs": self.outputs,
            "finished_before": self.finished_before,
            "unpublished": self.unpublished,
            "counts": self.counts.as_dict(),
            "usage": asdict(self.usage),
            "figures": self.figures,
            "pending_reasons": self.pending_reasons,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }


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
    summary = RunSummary(stage.name, max_rejects=options.max_rejects)
    try:
        with ExitStack() as stack:
            stack.enter_context(control.listening())
            jobs = plan_jobs(stage.name, stage.outputs, inputs, options.output)
            run = _Run(stage, options, control, summary, stack)
            todo = [job for job in jobs if run.claims(job)]
            if todo:
                run.survey(jobs)
                for job in todo:
                    run.work(job)
    finally:
        remove_spooled()
    summary.figures = stage.summary()
    summary.seconds = time.monotonic() - started
    return summary


@dataclass
class _Run:
    stage: RowStage
    options: RunOptions
    control: Control
    summary: RunSummary
    stack: ExitStack
    _manifests: dict[Path, Manifest] = field(default_factory=dict)
    _answerer: Answerer | None = None

    def claims(self, job: Job) -> bool:
        """Lock the job's outputs; False where they are finished already."""
        if job.outputs is None:
            return True
        lock = FileLock(job.papers.with_name(f".{job.papers.name}.lock"))
        job.papers.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.stack.enter_context(lock.acquire(blocking=False))
        except Timeout:
            raise LockedError(
                f"{job.papers}: another run is working on this output; this one stops without "
                "touching it"
            ) from None
        manifest = self._manifest(job)
        previous = read_manifest(job.manifest_path)
        paths = [one.path for one in job.inputs if isinstance(one, Shard)]
        outputs = list(job.outputs.values())
        if not self.options.overwrite:
            current = [is_up_to_date(out, previous, manifest, paths) for out in outputs]
            if all(current):
                self.summary.finished_before += [str(out) for out in outputs]
                return False
        if previous and previous.get("config_fingerprint") == manifest.config_fingerprint:
            manifest.attempts = previous["attempts"] + 1
            manifest.seconds = previous["seconds"]
            if not previous["finished"]:
                manifest.usage = previous["usage"]
        self._manifests[job.papers] = manifest
        manifest.write(job.manifest_path)
        return True

    def survey(self, jobs: Sequence[Job]) -> None:
        """The stage's first pass, over the well-formed rows of all inputs."""
        if self.stage.surveys:
            self.stage.survey(self._well_formed(jobs))

    def work(self, job: Job) -> None:
        """One job from lines to published files."""
        started = time.monotonic()
        answerer = self._answering(job)
        before = Tally(**vars(answerer.tally))
        label = f"{self.stage.name} {job.label}"
        with ExitStack() as files:
            parts = _Parts(job, files)
            progress = files.enter_context(
                shown_progress(label, job.count_lines(), quiet=self.options.quiet)
            )
            work = ShardWork(
                self.stage, answerer, parts.sinks(), progress, dict(self.options.fields)
            )
            counts = work.run(_limited(job.inputs, self.options.limit))
            self._account(work, before)
            publish = not counts.pending or self.options.accept_pending
            if job.outputs is not None:
                manifest = self._manifests[job.papers]
                manifest.counts = counts.as_dict()
                manifest.usage = _spent(manifest.usage, before, answerer.tally)
                manifest.figures = self.stage.summary()
                manifest.seconds = round(manifest.seconds + time.monotonic() - started, 3)
                manifest.finished = not counts.pending
                if publish:
                    parts.publish(counts)
                manifest.write(job.manifest_path)
                where = self.summary.outputs if publish else self.summary.unpublished
                where += [str(out) for out in job.outputs.values()]
            else:
                parts.publish(counts)

    def _account(self, work: ShardWork, before: Tally) -> None:
        self.summary.counts.add(work.counts)
        for reason, count in work.pending_reasons.items():
            self.summary.pending_reasons[reason] = (
                self.summary.pending_reasons.get(reason, 0) + count
            )
        for name, value in _spent({}, before, work.answerer.tally).items():
            setattr(self.summary.usage, name, getattr(self.summary.usage, name) + value)

    def _manifest(self, job: Job) -> Manifest:
        dependencies = [InputRecord.of(path) for path in self.options.dependencies]
        return Manifest(
            self.stage.name,
            {**self.options.config, "limit": self.options.limit, "fields": {**self.options.fields}},
            [_record(one) for one in job.inputs],
            dependencies,
        )

    def _answering(self, job: Job) -> Answerer:
        if self._answerer is None:
            home = next(iter(job.outputs.values())) if job.outputs else None
            ledger = Ledger(state_directory(home) / "ledger.sqlite")
            self.stack.callback(ledger.close)
            self._answerer = Answerer(
                self.stage.name, ledger, self.control, fresh_only=self.options.fresh
            )
            self.stack.callback(self._answerer.close)
        return self._answerer

    def _well_formed(self, jobs: Sequence[Job]) -> Iterator[Row]:
        fields = dict(self.options.fields)
        for job in jobs:
            for number, (_, _, raw) in enumerate(_limited(job.inputs, self.options.limit)):
                if number % 1024 == 0:
                    self.control.check()
                try:
                    row = decode_row(raw, fields)
                    self.stage.check(row)
                except RowError:
                    continue  # the main pass sets it aside
                yield row


class _Parts:
    """The files of one job in the making."""

    def __init__(self, job: Job, stack: ExitStack) -> None:
        self._main: dict[str, PartFile] = {}
        for name, path in (job.outputs or {}).items():
            self._main[name] = PartFile(path)
            stack.callback(self._main[name].discard)
        self._stdout: BinaryIO | None = sys.stdout.buffer if job.outputs is None else None
        self._side = {kind: _SideFile(job.papers, kind) for kind in ("rejects", "pending")}
        for side in self._side.values():
            stack.callback(side.discard)

    def sinks(self) -> Sinks:
        """Where the work writes."""
        named = {name: part.write for name, part in self._main.items()}
        row = self._stdout.write if self._stdout else named.get("")
        return Sinks(
            row=row or _refused,  # type: ignore[arg-type]
            routed=named,
            rejected=self._side["rejects"].write,
            pending=self._side["pending"].write,
        )

    def publish(self, counts: Counts) -> None:
        """Everything to its final name, side files first."""
        if self._stdout:
            self._stdout.flush()
        for part in self._main.values():
            part.finish()
        for side in self._side.values():
            side.publish()
        for part in self._main.values():
            part.publish()


class _SideFile:
    """Rejects or pending rows: a file only where there are any."""

    def __init__(self, papers: Path, kind: str) -> None:
        self._path = papers.with_name(f"{papers.name}.{kind}.jsonl")
        self._part: PartFile | None = None

    def write(self, data: bytes) -> None:
        if self._part is None:
            self._part = PartFile(self._path)
        self._part.write(data)

    def publish(self) -> None:
        if self._part is None:
            self._path.unlink(missing_ok=True)
        else:
            self._part.finish()
            self._part.publish()

    def discard(self) -> None:
        if self._part is not None:
            self._part.discard()


def _refused(_data: bytes) -> None:
    raise TypeError("a stage with named outputs returned a plain row")


def _limited(inputs: Sequence[Input], limit: int | None) -> Iterator[Line]:
    left = limit if limit is not None else sys.maxsize
    for one in inputs:
        for number, raw in enumerate(one.lines(), 1):
            if left <= 0:
                return
            left -= 1
            yield one.name, number, raw


def _record(one: Input) -> InputRecord:
    if isinstance(one, Shard):
        return InputRecord.of(one.path, one.name)
    return InputRecord(one.name, 0, one.fingerprint)


def _spent(previous: Mapping[str, float], before: Tally, after: Tally) -> dict[str, Any]:
    return {
        name: previous.get(name, 0) + value - getattr(before, name)
        for name, value in vars(after).items()
    }
