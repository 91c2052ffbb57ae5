"""Plan of a run, which the forecast and the run share: its jobs, and which of them are finished."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import orjson

from prism_cli.engine.asking_again import mark_path, mark_paths, read_mark
from prism_cli.engine.job_record import job_record
from prism_cli.engine.jobs import Job, Line, plan_jobs, read_lines
from prism_cli.engine.output_files import SIDE_KINDS, side_path
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import ChangedInputError, LockedError
from prism_cli.files.urls import StagedPath
from prism_cli.shards.file_digest import FileDigest
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import read_manifest
from prism_cli.shards.reader import Source
from prism_cli.shards.remote.claims import store_clock
from prism_cli.shards.remote.outputs import StagedOutputs, list_folders, staged_outputs
from prism_cli.shards.remote.store import ObjectState
from prism_cli.shards.run_record import RunRecord

_LISTED_JOBS = 8
"""Number of jobs from which one list of a folder is faster than a look at each object."""


@dataclass(frozen=True)
class RunPlan:
    """Jobs of a stage over its inputs.

    Attributes:
        typed: the inputs as the user named them.
    """

    stage: RowStage
    options: RunOptions
    jobs: Sequence[Job]
    typed: Sequence[str] = ()

    def record(self, job: Job, *, listed: bool = False) -> RunRecord:
        """Return the run record of a job; of one in an object store, compare with the store first.

        Args:
            listed: the record is only looked at, and its files are not guarded; of many jobs,
                compare with a list of their folders, made at the first call.

        Raises:
            StorageError, PrerequisiteError: the store cannot be read.
        """
        if staged := self.staged(job):
            staged.refresh(self._listed(job) if listed else None)
        options = self.options
        return job_record(
            job, self.stage.name, options.settings, options.dependencies, guarded=not listed
        )

    def _listed(self, job: Job) -> Mapping[str, ObjectState] | None:
        many = len(self.jobs) >= _LISTED_JOBS
        return self._folders[str(job.record_path.parent)] if many else None

    @cached_property
    def command(self) -> str:
        """Identity of the stage and of what determines its outputs besides the inputs."""
        content = [self.stage.name, self.options.settings]
        return sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @cached_property
    def _folders(self) -> dict[str, dict[str, ObjectState]]:
        return list_folders(job.record_path for job in self.jobs)

    def check_writable(self, jobs: Iterable[Job]) -> None:
        """Make sure that outputs in object stores can be written.

        Raises:
            StorageError, PrerequisiteError: the store fails or refuses.
        """
        for folder in {job.record_path.parent for job in jobs}:
            if isinstance(folder, StagedPath):
                store_clock(folder.object_name)

    def staged(self, job: Job) -> StagedOutputs | None:
        """Return the objects behind the outputs of a job; None if they are local files."""
        if not isinstance(job.record_path, StagedPath):
            return None
        sides = [side_path(job.record_path, kind) for kind in SIDE_KINDS]
        return staged_outputs(job.record_path, list((job.outputs or {}).values()), sides)

    def finished(
        self, job: Job, record: RunRecord | None = None, *, listed: bool = False
    ) -> Mapping[str, Any] | None:
        """Return the manifest of a job whose outputs are finished; None if it has to be run.

        Args:
            record: of a job whose lock is held.
            listed: as for `record`; only before the work begins.

        Raises:
            ChangedInputError: the outputs were made from other input, with other settings, or not
                by prism.
            LockedError, StorageError, PrerequisiteError: as `record` and `StagedOutputs.publish`.
        """
        options = self.options
        if job.outputs is None:
            return None
        mark = read_mark(mark_path(options, job.home))
        if options.overwrite and mark is None:
            return None
        staged = self.staged(job)
        with ExitStack() as held:
            states = self._listed(job) if staged and listed else None
            current = staged and states is not None and staged.is_current(states)
            if staged and record is None and not current:
                try:
                    held.enter_context(output_lock(job.record_path))
                except LockedError:
                    return None
            manifest = self._finished(record or self.record(job, listed=listed))
            if manifest and options.overwrite and manifest["overwritten_by"] != mark:
                return None
            if staged and manifest and not staged.published:  # a killed run made it
                try:
                    claim = held.enter_context(staged.claim(self.command))
                except LockedError:
                    if record is None:
                        return None  # whoever works on it is waited for, or told later
                    raise
                staged.publish(claim)
            return manifest

    def _finished(self, record: RunRecord) -> Mapping[str, Any] | None:
        try:
            return record.finished()
        except ChangedInputError as error:
            if self.options.overwrite or (error.redo and self.options.if_changed == "redo"):
                return None
            if not error.redo:
                raise
            message = f"{error}. --if-changed redo makes such outputs again"
            raise ChangedInputError(
                message, reasons=error.reasons, redo=True, settings=error.settings
            ) from None

    def is_finished(
        self,
        job: Job,
        summary: RunSummary,
        record: RunRecord | None = None,
        *,
        listed: bool = False,
    ) -> bool:
        """Return whether the job's outputs are finished, and add them to the summary if so.

        Raises: as `finished`.
        """
        manifest = self.finished(job, record, listed=listed)
        if manifest is None or job.outputs is None:
            return False
        summary.add_finished(job.outputs.values(), job.record_path, manifest)
        return True

    def end_asking_again(self, worked: Sequence[Job], refused: Collection[str]) -> None:
        """If a run that asks again has come to its end, have the same command begin anew.

        Args:
            worked: jobs that this process was to work.
            refused: names of those that were left as they are.
        """
        marks, own = mark_paths(self.options, self.jobs), {job.number for job in worked}

        def has_ended(job: Job) -> bool:
            if job.name in refused:
                return True
            if job.number in own:
                return bool((read_manifest(job.manifest_path) or {}).get("finished"))
            return self.finished(job) is not None

        if marks and all(map(has_ended, self.jobs)):
            for path in marks:
                path.unlink(missing_ok=True)

    def lines(self, job: Job, measured: Mapping[str, FileDigest] | None = None) -> Iterator[Line]:
        """Return the lines of a job's inputs.

        Args:
            measured: digests that the inputs must still have.
        """
        return read_lines(job.inputs, measured or {}, self.options.limit, self.options.fields)


def plan_run(stage: RowStage, inputs: Sequence[str | Source], options: RunOptions) -> RunPlan:
    """Plan the jobs of a command.

    Raises:
        MissingDataError, UsageError: as `plan_jobs`.
    """
    plain, text_output = stage.plain_lines, stage.text_output
    jobs = plan_jobs(
        stage.name, stage.outputs, inputs, options.output, plain=plain, text_output=text_output
    )
    plan = RunPlan(stage, options, jobs, [name for name in inputs if isinstance(name, str)])
    makes_anew = len(jobs) > 1 and options.overwrite
    again = f"{plan.command} {options.fresh} {options.retry_final}" if makes_anew else ""
    return replace(plan, options=replace(options, again=again))
