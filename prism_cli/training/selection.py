"""Measurements on the dev rows during a run: the best model, and early stopping."""

from collections.abc import Callable
from typing import Any

import torch

from prism_cli.modeling.losses import RowForward
from prism_cli.training.data import TokenizedRows
from prism_cli.training.dev import dev_metrics, selected_by, selection_value
from prism_cli.training.journal import Journal
from prism_cli.training.process_group import ProcessGroup
from prism_cli.training.request import TrainRequest


class DevSelection:
    """Measures the dev rows, publishes the best model, and decides on early stopping.

    Args:
        last_step: the last step of the run.
        journal: the log, in the main process.
        best: figures of the best model so far.
        publish: publishes the current model as best, with its figures.
    """

    def __init__(
        self,
        request: TrainRequest,
        group: ProcessGroup,
        forward: RowForward,
        dev: TokenizedRows | None,
        last_step: int,
        journal: Journal | None,
        best: dict[str, Any] | None,
        publish: Callable[[dict[str, Any]], None],
    ) -> None:
        self._request = request
        self._group = group
        self._forward = forward
        self._dev = dev
        self._last_step = last_step
        self._journal = journal
        self.best = best
        self._publish = publish

    def ends_early(self) -> bool:
        """Return True if the run ends before its last step."""
        config = self._request.config
        if self.best is None or config.patience is config.stop_at_collapse is None:
            return False
        return self._group.broadcast_from_main(lambda: self.early_stopping_setting() is not None)

    def early_stopping_setting(self) -> str | None:
        """Return the setting that ends the run: `patience` measurements without improvement, or
        `stop_at_collapse` measurements in a row that report a collapse."""
        config, best, journal = self._request.config, self.best, self._journal
        if journal is None or best is None:
            return None
        limit = config.stop_at_collapse
        if limit is not None and journal.collapsed_in_a_row() >= limit:
            return "stop_at_collapse"
        if config.patience is not None and journal.measured_after(best["step"]) >= config.patience:
            return "patience"
        return None

    def after_step(self, step: int) -> None:
        """Measure if it is due after `step`."""
        if step == self._last_step or step % self._request.config.dev_steps == 0:
            self._measure(step)

    def on_resume(self, step: int) -> None:
        """Measure the checkpoint, if a signal interrupted its measurement."""
        journal = self._journal
        if self._group.broadcast_from_main(lambda: not (journal and journal.dev_at(step))):
            self.after_step(step)

    def _measure(self, step: int) -> None:
        """Measure on the dev rows; every process computes them, which sharded weights need."""
        if self._dev is None:
            return
        config, request = self._request.config, self._request
        device = next(self._forward.parameters()).device

        def stopping() -> bool:
            return self._group.any_rank(request.watch.stopping)

        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.dtype == "bfloat16"):
            metrics = dev_metrics(
                self._forward, self._dev, config.tokens_per_batch, device, stopping
            )
        if metrics is None:
            return
        if "collapsed" in metrics and step != self._last_step:  # the command reports the last ones
            request.say(f"warning: step {step}: {metrics['collapsed']}")
        select = config.select
        if self.best is None and (name := selected_by(metrics, select)) != select:
            request.say(f'select = "{select}": the dev rows do not allow it; {name} is used')
        if self.best is None or (
            selection_value(metrics, select) > selection_value(self.best, select)
        ):
            self.best = {"step": step, **metrics}
            self._publish(self.best)
        if self._journal:
            self._journal.add(step, metrics)
