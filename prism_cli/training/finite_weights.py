"""Refuse weights that are not finite, before they are saved, published or blamed on rows."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from prism_cli.errors import ModelError
from prism_cli.training.process_group import ProcessGroup

_CHECKED = (torch.float64, torch.float32, torch.bfloat16, torch.float16)  # no norm of fewer bits


class FiniteWeights:
    """Checks the weights of a run; every process calls its methods, and checks its own part of
    weights that are sharded."""

    def __init__(self, model: nn.Module, group: ProcessGroup) -> None:
        self._model = model
        self._group = group

    def check_start(self, step: int) -> None:
        """Check all weights, trained or frozen, of the model that training starts from.

        Args:
            step: of the checkpoint, or 0.

        Raises:
            ModelError: one is not finite.
        """
        if self._any_bad(self._model.parameters()):
            source = f"checkpoint-{step}" if step else "the base model"
            change = "resume from an earlier one with --resume PATH" if step else "change --model"
            raise ModelError(
                f"{source} has weights that are NaN or infinite; nothing was trained. Expected "
                f"finite weights: {change}, or begin the run again with a lower learning_rate and "
                "--resume never --overwrite"
            )

    def check_step(self, step: int) -> None:
        """Check the trained weights after `step`.

        Raises:
            ModelError: one is not finite.
        """
        if self._any_bad(one for one in self._model.parameters() if one.requires_grad):
            raise ModelError(
                f"step {step}: the trained weights became NaN or infinite; nothing of this step "
                "was kept, earlier checkpoints stay. Lower learning_rate, and begin the run again "
                "with --overwrite"
            )

    def _any_bad(self, weights: Iterable[nn.Parameter]) -> bool:
        """Return True if a weight is not finite in any process."""
        own: list[Tensor] = []
        for weight in weights:
            data = weight.detach()
            own.append(data.to_local() if isinstance(data, DTensor) else data)
        parts = [part for part in own if part.numel() and part.dtype in _CHECKED]
        largest = get_total_norm(parts, float("inf"))  # no mask as large as the weights
        return self._group.any_rank(not largest.isfinite().item())
