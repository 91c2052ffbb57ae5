"""Callbacks between the steps of transformers' Trainer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from prism_cli.training.finite_weights import FiniteWeights
from prism_cli.training.meter import Meter


@dataclass(frozen=True)
class StepHooks:
    """Functions of the run around the steps; every process calls all of them.

    Attributes:
        on_resume: called with the checkpoint's step, once its weights are loaded.
        on_step: called with each finished step, from 1, before a checkpoint is committed.
        stop_requested: returns True to commit a checkpoint and stop after the step.
        ends_early: returns True if the run ends before its last step.
        on_log: called with step and figures.
    """

    on_resume: Callable[[int], None]
    on_step: Callable[[int], None]
    stop_requested: Callable[[], bool]
    ends_early: Callable[[], bool]
    on_log: Callable[[int, dict[str, Any]], None]


class NothingLeft(Exception):
    """Raised when the resumed checkpoint already satisfies early stopping."""


class TrainingCallbacks(TrainerCallback):
    """Calls the hooks, checks the weights, and measures the time of each step."""

    def __init__(self, hooks: StepHooks, meter: Meter, weights: FiniteWeights) -> None:
        self._hooks = hooks
        self._meter = meter
        self._weights = weights

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        untyped_state: Any = state
        untyped_state.compute_steps(args, state.max_steps)  # the intervals may have changed
        self._weights.check_start(state.global_step)
        if state.global_step:
            self._hooks.on_resume(state.global_step)
            if self._hooks.ends_early():
                raise NothingLeft

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._meter.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._weights.check_step(state.global_step)
        self._meter.stop()  # after the check, which waits for the optimizer on a GPU
        self._hooks.on_step(state.global_step)
        ends_early = self._hooks.ends_early()
        last = ends_early or state.global_step >= state.max_steps
        control.should_log = control.should_log or last
        stopping = self._hooks.stop_requested() and not last
        if ends_early or stopping:
            control.should_save = True
            control.should_training_stop = True
        return control
