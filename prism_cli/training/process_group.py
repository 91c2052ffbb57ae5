"""The processes of a run: one, or those that torchrun or accelerate launch started."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import distributed

from prism_cli.errors import (
    LostProcessError,
    OtherProcessError,
    PrismError,
    UsageError,
    first_line,
)
from prism_cli.modeling.loading import resolve_device

T = TypeVar("T")
_TIMEOUT = timedelta(days=7)
"""The others wait while the main process reads rows; the end of a process is noticed at once."""


class ProcessGroup:
    """The process group of a run; every process calls its methods.

    Args:
        on_cpu: train on the CPU (gloo) instead of GPUs (nccl).

    Attributes:
        rank, size: number of this process, from 0, and of all processes.
        first_of_node: True in one process of each node.
        control: the group of all processes for objects and files, over gloo; None if there is one.
        main: True in the process that writes files and messages.
    """

    def __init__(self, on_cpu: bool) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.control: Any = None
        if self.size > 1:
            from accelerate import PartialState

            with noticing_lost_processes():
                PartialState(cpu=on_cpu)  # joins the group; transformers finds it joined
                self.control = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
        self.rank: int = distributed.get_rank() if self.size > 1 else 0
        self.main = self.rank == 0
        self.first_of_node = self.main or os.environ.get("LOCAL_RANK", "0") == "0"

    @classmethod
    def of(cls, device: str) -> "ProcessGroup":
        """Return the group of a run on `device`, as the user names it.

        Raises:
            UsageError: a GPU other than the first; transformers trains on the first one it sees.
        """
        resolved = resolve_device(device)
        if device != "auto" and resolved.index:
            raise UsageError(
                f"--device {device}: training runs on the first visible GPU; to choose another, "
                f"start it as CUDA_VISIBLE_DEVICES={resolved.index} prism train … --device cuda"
            )
        return cls(on_cpu=resolved.type == "cpu")

    def together(self, work: Callable[[], T]) -> T:
        """Call `work` in every process; return its result.

        Raises:
            PrismError: of `work` in this process.
            OtherProcessError: of `work` in another process.
        """
        result: T | None = None
        error: PrismError | None = None
        try:
            result = work()
        except PrismError as raised:
            error = raised
        found = self.gather(error and (f"{node()}, rank {self.rank}", str(error), error.exit_code))
        if error:
            raise error
        for failure in found:
            if failure:
                raise OtherProcessError(*failure)
        return cast(T, result)

    def report(self, error: PrismError) -> None:
        """Raise `error` in this process, and tell it to the others, which call `together`."""

        def fail() -> None:
            raise error

        self.together(fail)

    def broadcast_from_main(self, work: Callable[[], T]) -> T:
        """Call `work` in the main process; return its result in all processes.

        Raises: as `together`.
        """
        result = self.together(lambda: work() if self.main else None)
        if self.size == 1:
            return cast(T, result)
        shared = [result]
        distributed.broadcast_object_list(shared, group=self.control)
        return cast(T, shared[0])

    def gather(self, value: T) -> list[T]:
        """Return the `value` of each process, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value, group=self.control)
        return values

    def main_first(self, work: Callable[[], T]) -> T:
        """Call `work` in every process, in the others when the main process has finished.

        Raises: as `together`.
        """
        first = self.together(lambda: work() if self.main else None)
        result = self.together(lambda: first if self.main else work())
        return cast(T, result)

    def any_rank(self, flag: bool) -> bool:
        """Return True if `flag` is true in any process."""
        if self.size == 1:
            return flag
        count = torch.tensor([int(flag)])
        distributed.all_reduce(count, group=self.control)
        return bool(count.item())

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            distributed.barrier(group=self.control)

    def leave(self) -> None:
        """Destroy the group, after the last exchange."""
        if self.size > 1:
            distributed.destroy_process_group()


@contextmanager
def noticing_lost_processes() -> Iterator[None]:
    """Turn the errors of torch when another process has ended into one for the user.

    Raises:
        LostProcessError: another process has ended, or cannot be reached.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error).lower():
            raise
        raise LostProcessError(
            f"{node()}, rank {os.environ.get('RANK', '0')}: another process of this run ended or "
            f"cannot be reached ({first_line(error)}); the messages of that process say why. The "
            "same command on all nodes resumes from the newest checkpoint, as torchrun "
            f"--max-restarts does{_ADVICE if _shares_store() else ''}"
        ) from error


_ADVICE = (
    ". This attempt shares a store with the one before, whose addresses it may have read: export "
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before torchrun (torch 2.13)"
)


def _shares_store() -> bool:
    """Return True if torchrun restarted this process with the store of the previous attempt."""
    shares = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return shares and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def node() -> str:
    """Return the name of this machine, with the number that torchrun gave it."""
    return f"node {os.environ.get('GROUP_RANK', '0')} ({socket.gethostname()})"
