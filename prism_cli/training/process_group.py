"""The processes of a run: one, or those that torchrun or accelerate launch started."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

T = TypeVar("T")
_TIMEOUT = timedelta(days=7)
"""The others wait while the main process reads rows; the end of a process is noticed at once."""


class ProcessGroup:
    """The process group of a run; every process calls its methods.

    Args:
        on_cpu: train on the CPU (gloo) instead of GPUs (nccl).

    Attributes:
        rank, size: number of this process, from 0, and of all processes.
        main: True in the process that writes files and messages.
    """

    def __init__(self, on_cpu: bool) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1:
            from accelerate import PartialState

            PartialState(cpu=on_cpu)  # joins the group; transformers finds it joined
            self._control: Any = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
        self.rank: int = distributed.get_rank() if self.size > 1 else 0
        self.main = self.rank == 0

    def broadcast_from_main(self, work: Callable[[], T]) -> T:
        """Call `work` in the main process; return its result in all processes."""
        if self.size == 1:
            return work()
        shared = [work() if self.main else None]
        distributed.broadcast_object_list(shared, group=self._control)
        result: T = shared[0]  # type: ignore[assignment]
        return result

    def gather(self, value: T) -> list[T]:
        """Return the `value` of each process, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value, group=self._control)
        return values

    def main_first(self, work: Callable[[], T]) -> T:
        """Call `work` in every process, in the others when the main process has finished."""
        if not self.main:
            self.wait()
        result = work()
        if self.main:
            self.wait()
        return result

    def any_rank(self, flag: bool) -> bool:
        """Return True if `flag` is true in any process."""
        if self.size == 1:
            return flag
        count = torch.tensor([int(flag)])
        distributed.all_reduce(count, group=self._control)
        return bool(count.item())

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            distributed.barrier(group=self._control)

    def leave(self) -> None:
        """Destroy the group, after the last exchange."""
        if self.size > 1:
            distributed.destroy_process_group()
