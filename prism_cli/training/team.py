"""The processes of one run: one, or as many as torchrun or accelerate launch started."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn

T = TypeVar("T")
_PATIENCE = timedelta(days=7)
"""The others wait while the main process reads rows; an end of one is noticed at once."""


class Team:
    """This process among those of its run.

    Args:
        on_cpu: whether they train on the CPU (gloo) rather than on GPUs (nccl).

    Attributes:
        main: True in the one process that writes files and speaks.
    """

    def __init__(self, on_cpu: bool) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1:
            from accelerate import PartialState

            PartialState(cpu=on_cpu)  # joins the group; transformers finds it joined
            self._words: Any = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        self.main = self.size == 1 or distributed.get_rank() == 0

    def agree(self, work: Callable[[], T]) -> T:
        """What `work` gives in the main process, in all of them."""
        if self.size == 1:
            return work()
        shared = [work() if self.main else None]
        distributed.broadcast_object_list(shared, group=self._words)
        result: T = shared[0]  # type: ignore[assignment]
        return result

    def main_first(self, work: Callable[[], T]) -> T:
        """`work` in every process, the others when the main one is done."""
        if not self.main:
            self.wait()
        result = work()
        if self.main:
            self.wait()
        return result

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process; all must ask."""
        if self.size == 1:
            return flag
        count = torch.tensor([int(flag)])
        distributed.all_reduce(count, group=self._words)
        return bool(count.item())

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier(group=self._words)

    def leave(self) -> None:
        """End the group, after the last exchange."""
        if self.size > 1:
            distributed.destroy_process_group()


def sum_gradients(model: nn.Module) -> None:
    """Each gradient, summed over the processes."""
    sums = []
    for one in model.parameters():
        if one.requires_grad:
            one.grad = torch.zeros_like(one) if one.grad is None else one.grad
            sums.append(distributed.all_reduce(one.grad, async_op=True))
    for work in sums:
        assert work is not None
        work.wait()
