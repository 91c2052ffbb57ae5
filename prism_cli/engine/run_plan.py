"""Plan of a run, which the forecast and the run share: its jobs, and which of them are finished."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prism_cli.engine.job_record import job_record
from prism_cli.engine.jobs import Job, Line, plan_jobs, read_lines
from prism_cli.engine.output_files import side_path
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import ChangedInputError
from prism_cli.shards.file_digest import FileDigest
from prism_cli.shards.reader import Source
from prism_cli.shards.run_record import RunRecord


@dataclass(frozen=True)
class RunPlan:
    """Jobs of a stage over its inputs."""

    stage: RowStage
    options: RunOptions
    jobs: Sequence[Job]

    def record(self, job: Job) -> RunRecord:
        """Return the run record of a job."""
        return job_record(job, self.stage.name, self.options.settings, self.options.dependencies)

    def finished(self, job: Job, record: RunRecord | None = None) -> Mapping[str, Any] | None:
        """Return the manifest of a job whose outputs are finished; None if it has to be run.

        Raises:
            ChangedInputError: the outputs were made from other input, with other settings, or not
                by prism.
        """
        if job.outputs is None or self.options.overwrite:
            return None
        try:
            return (record or self.record(job)).finished()
        except ChangedInputError as error:
            if not error.redo:
                raise
            if self.options.if_changed == "redo":
                return None
            message = f"{error}. --if-changed redo makes such outputs again"
            raise ChangedInputError(message, reasons=error.reasons, redo=True) from None

    def is_finished(self, job: Job, summary: RunSummary, record: RunRecord | None = None) -> bool:
        """Return whether the job's outputs are finished, and add them to the summary if so.

        Raises: as `finished`.
        """
        manifest = self.finished(job, record)
        if manifest is None or job.outputs is None:
            return False
        rejects = side_path(job.record_path, "rejects")
        summary.add_finished(job.outputs.values(), rejects, manifest)
        return True

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
    jobs = plan_jobs(stage.name, stage.outputs, inputs, options.output, plain=stage.plain_lines)
    return RunPlan(stage, options, jobs)
