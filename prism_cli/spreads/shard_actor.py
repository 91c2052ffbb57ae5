"""One worker of a cluster: builds the stage once and works the shards that it is given.

Nothing here knows the cluster: the class runs in any process.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prism_cli.engine.control import Control, Stop
from prism_cli.engine.jobs import Job
from prism_cli.engine.run_options import RunOptions
from prism_cli.engine.run_plan import RunPlan
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.shared_runner import SharedRunner
from prism_cli.engine.split_queries import survey_queries
from prism_cli.engine.stage import RowStage
from prism_cli.engine.stage_spec import StageSpec
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import (
    MissingDataError,
    MissingPackageError,
    PrerequisiteError,
    PrismError,
    StorageError,
)
from prism_cli.spreads.shared_files import SharedFiles
from prism_cli.version import __version__


@dataclass(frozen=True)
class ActorSetup:
    """Settings with which a worker begins; can be pickled.

    Attributes:
        surveyed: result of the stage's survey; None if it has none.
        sizes: as of `ShardWorker`.
        folder: working directory of the command, to which its paths are relative.
        variables: environment variables that decide where prism keeps its state.
        files: by which the node recognises the folders of the command.
        version: of prism in the process of the command.
    """

    spec: StageSpec
    options: RunOptions
    surveyed: bytes | None
    sizes: Mapping[str, int]
    folder: str
    variables: Mapping[str, str]
    files: SharedFiles = field(default_factory=SharedFiles)
    version: str = __version__


class ShardActor:
    """Works shards one after another, in one thread; `progress` and `stop` are called in
    another."""

    def __init__(self, setup: ActorSetup) -> None:
        self._setup = setup
        self._stop = Stop()
        self._job = ""
        self._worker: ShardWorker | None = None

    def open(self) -> dict[str, Any]:
        """Build the stage; return host and process.

        Raises:
            MissingDataError: the folders of the command are not on this machine.
            PrismError: as the command itself does where its model or package is missing; the
                message begins with the machine's name.
        """
        try:
            stage = self._build()
        except ModuleNotFoundError as error:
            missing = MissingPackageError(str(error.name), "local")
            raise PrerequisiteError(f"{platform.node()}: {missing}") from error
        except PrismError as error:
            raise _placed(error) from error
        setup = self._setup
        options = replace(setup.options, quiet=True, max_seconds=None)
        control = Control(stop=self._stop)
        runner = SharedRunner(stage.name, options, control)
        plan = RunPlan(stage, options, [])
        self._worker = ShardWorker(plan, control, runner, sizes=setup.sizes)
        return {"host": platform.node(), "pid": os.getpid()}

    def _build(self) -> RowStage:
        setup = self._setup
        if setup.version != __version__:
            raise PrerequisiteError(
                f"prism {__version__} is installed there, and {setup.version} runs the command; "
                "install the same version on all nodes"
            )
        os.environ.update(setup.variables)
        try:
            os.chdir(setup.folder)
        except OSError as error:
            raise MissingDataError(
                f"{setup.folder}: is not there: {error.strerror}; every node needs the folders of "
                "inputs and outputs under the same path, on a shared file system"
            ) from error
        setup.files.check()
        stage = setup.spec.build()
        if setup.surveyed is not None:
            stage.use_survey(setup.surveyed)
        return stage

    def survey(self, job: Job) -> ShardReport:
        """Store the hashes of a shard's queries; return an empty report."""
        worker = self._on(job)
        survey_queries(worker.plan, worker.rows)
        return ShardReport(job.name, RunSummary(worker.plan.stage.name))

    def work(self, job: Job) -> ShardReport:
        """Work one shard and return what became of it."""
        worker = self._on(job)
        report = worker.work(job)
        if isinstance(report.error, MissingDataError | StorageError):
            report.error = _placed(report.error)
        report.counted = worker.plan.stage.take_counted()
        report.summary.figures = worker.plan.stage.summary() if report.worked else {}
        return report

    def _on(self, job: Job) -> ShardWorker:
        assert self._worker is not None, "open was not called"
        self._job = job.name
        self._worker.plan = replace(self._worker.plan, jobs=[job])
        return self._worker

    def progress(self) -> tuple[str, float]:
        """Return the shard in work and how far it is: its rows, plus finished fractions."""
        shown = self._worker.work_shown if self._worker else None
        return self._job, shown.snapshot()["moved"] if shown else 0.0

    def stop(self) -> None:
        """Ask the work to stop; the shard in work is left pending and its replies are kept."""
        self._stop.request()

    def leave(self) -> None:
        """End this process at once."""
        os._exit(0)


def _placed(error: PrismError) -> PrismError:
    """Return an error whose message begins with this machine's name."""
    error.args = (f"{platform.node()}: {error}",)
    return error
