"""What a run does between the steps of transformers' Trainer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from prism_cli.training.meter import Meter


@dataclass(frozen=True)
class Hooks:
    """What the run does around the steps; every process calls all of them.

    Attributes:
        on_resume: told the step of the checkpoint, once its weights are loaded.
        on_step: told the step that is done, from 1; before it is committed.
        stopping: whether to commit and stop after the step.
        enough: whether the run is over before its last step.
        on_log: told step and figures.
    """

    on_resume: Callable[[int], None]
    on_step: Callable[[int], None]
    stopping: Callable[[], bool]
    enough: Callable[[], bool]
    on_log: Callable[[int, dict[str, Any]], None]


class Enough(Exception):
    """A checkpoint from which a run resumed was its last: leaves `PrismTrainer.train`."""


class Between(TrainerCallback):
    """Calls the hooks, and has the meter count each step's time."""

    def __init__(self, hooks: Hooks, meter: Meter) -> None:
        self._hooks = hooks
        self._meter = meter

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step:
            self._hooks.on_resume(state.global_step)
            if self._hooks.enough():
                raise Enough

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._meter.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._meter.stop()
        self._hooks.on_step(state.global_step)
        enough = self._hooks.enough()
        last = enough or state.global_step >= state.max_steps
        control.should_log = control.should_log or last
        stopping = self._hooks.stopping() and not last
        if enough or stopping:
            control.should_save = True
            control.should_training_stop = True
        return control
