"""Figures of the steps since the last line of the log: losses, logits, time and memory."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from math import fsum
from typing import Any, TypedDict

import torch
from torch import Tensor

from prism_cli.domain.scoring import BOUNDARY
from prism_cli.modeling.losses import TokenizedRow

TIMED = "timed"
"""The key of those figures of a log line that depend on the machine."""


class MeterState(TypedDict):
    """Values of a meter since the last log line: of each pass, and of the steps."""

    passes: list[list[float]]
    steps: int
    seconds: float


Gather = Callable[[MeterState], Sequence[MeterState]]


class Meter:
    """Values of the passes of this process; `figures` adds those of the other processes.

    Sums are exact (`math.fsum`), so that they do not depend on the number of processes.

    Args:
        yes_id: the first token of a target for yes.
    """

    def __init__(self, yes_id: int) -> None:
        self._yes_id = yes_id
        self._started: float | None = None
        self._clear()

    def _clear(self) -> None:
        # pointwise loss, sft loss; yes rows: logits, count; no rows: logits, count; rows; tokens
        self._passes: list[list[float]] = []
        self._steps = 0
        self._seconds = 0.0

    def start(self) -> None:
        """Begin a step."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """End the step, after the update of the weights."""
        if self._started is not None:
            self._seconds += time.perf_counter() - self._started
            self._started = None
        self._steps += 1

    def add(
        self, rows: Sequence[TokenizedRow], logit: Tensor, pointwise: Tensor, sft: Tensor
    ) -> None:
        """Add one pass.

        Args:
            logit, pointwise, sft: float32 [rows].
        """
        yes = torch.tensor([self._is_yes(row) for row in rows])
        logits = logit.detach().cpu().double()
        tokens = sum(row.tokens for row in rows)
        self._passes.append(
            [
                pointwise.sum().item(), sft.sum().item(),
                logits[yes].sum().item(), yes.sum().item(),
                logits[~yes].sum().item(), (~yes).sum().item(),
                len(rows), tokens,
            ]
        )  # fmt: skip

    def state(self) -> MeterState:
        """Return the values since the last log line, for a checkpoint."""
        return {"passes": self._passes, "steps": self._steps, "seconds": self._seconds}

    def restore(self, state: MeterState) -> None:
        """Continue from `state`."""
        self._passes = state["passes"]
        self._steps, self._seconds = state["steps"], state["seconds"]

    def figures(self, gather: Gather, rows_per_step: int) -> dict[str, Any]:
        """Return the figures since the last call, and reset the sums.

        pointwise_loss, sft_loss: means over the steps; loss is their sum.

        yes_logit, no_logit: mean logit over rows with the verdict yes and over rows with no: by the
        target, else by a teacher score above .5. margin: the first minus the second.

        timed: seconds, tokens_per_second, rows_per_second (of the steps only, all processes) and
        `peak_memory` as peak_memory_bytes.

        Args:
            gather: returns the states of all processes, the first one's first; all call it.
        """
        state = merged(gather(self.state()))
        passes = state["passes"] or [[0.0] * 8]
        pointwise, sft, yes, n_yes, no, n_no, rows, tokens = map(fsum, zip(*passes, strict=True))
        draws = max(state["steps"], 1) * rows_per_step
        figures: dict[str, Any] = {
            "loss": (pointwise + sft) / draws,
            "pointwise_loss": pointwise / draws,
            "sft_loss": sft / draws,
        }
        if n_yes:
            figures["yes_logit"] = yes / n_yes
        if n_no:
            figures["no_logit"] = no / n_no
        if n_yes and n_no:
            figures["margin"] = yes / n_yes - no / n_no
        seconds = max(state["seconds"], 1e-9)
        figures[TIMED] = {
            "seconds": round(seconds, 3),
            "tokens_per_second": round(tokens / seconds, 1),
            "rows_per_second": round(rows / seconds, 2),
            "peak_memory_bytes": peak_memory(),
        }
        self._clear()
        return figures

    def _is_yes(self, row: TokenizedRow) -> bool:
        return row.target[0] == self._yes_id if row.target else row.teacher_score > BOUNDARY


def merged(states: Sequence[MeterState]) -> MeterState:
    """Return the passes of all processes, with the steps and the seconds of the first one."""
    passes = [one for state in states for one in state["passes"]]
    return {**states[0], "passes": passes}


def peak_memory() -> int:
    """Return the peak memory of this process in bytes: allocated on its GPU, else resident."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
