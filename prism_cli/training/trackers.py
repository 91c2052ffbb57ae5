"""Experiment trackers of a run, by the setting `report_to`: they get each line of log.jsonl.

Figures are named train/loss, train/pointwise_loss, dev/auc and so on. RUN/trackers.json has the ids
of the runs in wandb and mlflow, so that a resumed run continues them. accelerate's trackers write.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

from prism_cli.configs.base import to_dict
from prism_cli.configs.train import Tracker
from prism_cli.errors import MissingPackageError, PrerequisiteError, first_line
from prism_cli.shards.writer import whole_file
from prism_cli.training.meter import TIMED
from prism_cli.training.request import TrainRequest

TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
"""Each is the name of a package, of an extra that installs it, and of its folder in RUN."""
IDS = "trackers.json"
_PROJECT = "prism"


class Trackers:
    """Sends figures to the trackers of a run; only the main process has one."""

    def __init__(self, request: TrainRequest) -> None:
        self._request = request
        self._open: dict[Tracker, Any] = {}
        self._ids = _read_ids(request.run)

    def start(self, name: Tracker, first_step: int) -> None:
        """Start or continue a tracker's run.

        Args:
            first_step: the step that the run continues from; 0 for a new one.

        Raises:
            PrerequisiteError: it refuses, as wandb does without a login.
        """
        run = self._request.run
        is_new = name not in self._ids
        try:
            with redirect_stdout(sys.stderr):
                tracker = _STARTS[name](run, first_step, self._ids)
                tracker.start()
            self._open[name] = tracker
            if name == "mlflow":
                self._ids[name] = tracker.tracker.info.run_id
            settings = _flat(to_dict(self._request.config, exclude_none=True))
            if name == "tensorboard":  # its table of settings would be a run of its own
                if first_step == 0:
                    tracker.log({"settings": _markdown(settings)}, step=0)
            elif name != "mlflow" or is_new:  # MLflow refuses parameters that changed
                tracker.store_init_configuration(settings)
        except _failures(name) as error:
            raise PrerequisiteError(
                f"report_to: {name} did not start: {first_line(error)}; no step was made. Correct "
                f"its settings (those of the environment included), or leave {name} out"
            ) from error
        with whole_file(run / IDS) as file:
            file.write(json.dumps(self._ids).encode())

    def log(self, step: int, figures: Mapping[str, Any]) -> None:
        """Send the figures of a line of log.jsonl; a tracker that fails gets no more."""
        group = "dev" if "rows" in figures else "train"
        values = {
            f"{group}/{name}": value
            for name, value in {**figures, **figures.get(TIMED, {})}.items()
            if isinstance(value, int | float)
        }
        for name, tracker in list(self._open.items()):
            # MLflow's names have no @.
            names = {key.replace("@", "_at_"): value for key, value in values.items()}
            try:
                tracker.log(names if name == "mlflow" else values, step=step)
            except _failures(name) as error:
                del self._open[name]
                self._request.say(
                    f"warning: report_to: {name} failed at step {step}: {first_line(error)}; the "
                    "run goes on without it, and log.jsonl has all figures"
                )

    def finish(self) -> None:
        """Close the trackers; what they could not send stays in their folders."""
        while self._open:
            name, tracker = self._open.popitem()
            try:
                with redirect_stdout(sys.stderr):
                    _FINISHES.get(name, tracker.finish)()
            except _failures(name) as error:
                self._request.say(f"warning: report_to: {name} did not end: {first_line(error)}")


@contextmanager
def open_trackers(request: TrainRequest, first_step: int) -> Iterator[Trackers]:
    """Start the trackers of a run, and close them at the end of the block.

    Raises:
        PrerequisiteError: as `start`.
    """
    trackers = Trackers(request)
    try:
        for name in request.config.report_to:
            trackers.start(name, first_step)
        yield trackers
    finally:
        trackers.finish()


def require_trackers(names: tuple[Tracker, ...]) -> None:
    """Raise if the package of a tracker is not installed.

    Raises:
        MissingPackageError: it names the package and its extra.
    """
    for name in names:
        if find_spec(name) is None:
            raise MissingPackageError(name, name, where=f'report_to = ["{name}"]')


def _tensorboard(run: Path, first_step: int, _ids: dict[str, str]) -> Any:
    from accelerate.tracking import TensorBoardTracker

    folder = os.environ.get("TENSORBOARD_LOGGING_DIR", run / "tensorboard")
    # Readers drop what an earlier attempt wrote after the checkpoint.
    return TensorBoardTracker("", folder, purge_step=first_step + 1)


def _wandb(run: Path, _first_step: int, ids: dict[str, str]) -> Any:
    from accelerate.tracking import WandBTracker

    if "WANDB_RUN_ID" not in os.environ:
        ids.setdefault("wandb", uuid4().hex)
    return WandBTracker(
        os.environ.get("WANDB_PROJECT", _PROJECT),
        name=os.environ.get("WANDB_NAME", run.resolve().name),
        id=os.environ.get("WANDB_RUN_ID", ids.get("wandb")),
        resume="allow",
        dir=os.environ.get("WANDB_DIR", str(run)),  # wandb makes RUN/wandb
    )


def _mlflow(run: Path, _first_step: int, ids: dict[str, str]) -> Any:
    import mlflow
    from accelerate.tracking import MLflowTracker

    artifacts = None
    if "MLFLOW_TRACKING_URI" not in os.environ:
        folder = (run / "mlflow").resolve()
        folder.mkdir(exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        artifacts = (folder / "artifacts").as_uri()
    return MLflowTracker(_PROJECT, artifacts, run_name=run.resolve().name, run_id=ids.get("mlflow"))


def _trackio(run: Path, _first_step: int, ids: dict[str, str]) -> Any:
    os.environ.setdefault("TRACKIO_DIR", str((run / "trackio").resolve()))  # read by its import
    from accelerate.tracking import TrackioTracker

    ids.setdefault("trackio", run.resolve().name)
    return TrackioTracker(
        os.environ.get("TRACKIO_PROJECT", _PROJECT), name=ids["trackio"], resume="allow"
    )


_STARTS = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}


def _finish_trackio() -> None:
    import trackio

    trackio.finish()  # the tracker's own leaves the run to be finished once more at exit


_FINISHES = {"trackio": _finish_trackio}


def _failures(name: Tracker) -> tuple[type[Exception], ...]:
    """Return what a tracker raises where its service, its files or its settings are at fault."""
    own: tuple[type[Exception], ...] = ()
    if name == "wandb":
        from wandb.errors import Error

        own = (Error,)
    elif name == "mlflow":
        from mlflow.exceptions import MlflowException

        own = (MlflowException,)
    return (OSError, RuntimeError, ValueError, *own)


def _read_ids(run: Path) -> dict[str, str]:
    path = run / IDS
    ids: dict[str, str] = json.loads(path.read_bytes()) if path.is_file() else {}
    return ids


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings without tables: lora.r; lists as text."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return flat


def _markdown(settings: Mapping[str, Any]) -> str:
    rows = (f"| {name} | {value} |" for name, value in settings.items())
    return "\n".join(("| setting | value |", "|---|---|", *rows))
