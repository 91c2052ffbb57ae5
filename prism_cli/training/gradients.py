"""Gradients of a step, whose sum does not depend on the number of processes."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class GradientSums:
    """Sums of gradients over the passes of a step and over processes, in float64.

    They are rounded to the weight's type once, so that the order of the passes, and their
    distribution over processes, have no effect but for one rounding of float64. A gradient is added
    as soon as a backward pass has computed it, so that no second copy is kept beside the sum.

    Args:
        weights: those that are trained; not sharded.
    """

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        self._sums: dict[nn.Parameter, Tensor] = {}
        self._weights = [weight for weight in weights if weight.requires_grad]
        for weight in self._weights:
            untyped: Any = weight
            untyped.register_post_accumulate_grad_hook(self._add)

    def _add(self, weight: Tensor) -> None:
        assert isinstance(weight, nn.Parameter)
        assert weight.grad is not None
        if weight in self._sums:
            self._sums[weight] += weight.grad
        else:
            self._sums[weight] = weight.grad.double()
        weight.grad = None

    def clear(self) -> None:
        """Begin a step."""
        self._sums.clear()

    def finish(self, processes: int) -> None:
        """Set each weight's gradient to the sum over all passes and processes; all call it."""
        if processes > 1:
            for weight in self._weights:
                if weight not in self._sums:
                    self._sums[weight] = torch.zeros_like(weight, dtype=torch.float64)
            # In the order of the weights, which is the same in all processes.
            works = [
                torch.distributed.all_reduce(self._sums[weight], async_op=True)
                for weight in self._weights
            ]
            for work in works:
                assert work is not None
                work.wait()
        for weight in self._weights:
            if weight in self._sums:
                weight.grad = self._sums.pop(weight).to(weight.dtype)
