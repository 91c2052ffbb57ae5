"""A process that runs measurements, and is replaced when one ends it or breaks its GPU context."""

import gc
import importlib
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

_CONTEXT = get_context("spawn")
OUT_OF_MEMORY = "out of memory on this card"


@dataclass(frozen=True)
class Task:
    """A function by its module and name, with its arguments.

    Attributes:
        name: in the report.
        kind: the table that its figures belong to; "checks" for checks.
        seconds: what it takes on an H100, roughly; it may take three times as long.
        alone: in a process of its own.
    """

    name: str
    kind: str
    module: str
    function: str
    arguments: dict[str, Any]
    seconds: float
    alone: bool = False


@dataclass
class Outcome:
    """What became of a task: its value, or why there is none.

    Attributes:
        broken: the process must not be used again.
    """

    value: Any = None
    error: str = ""
    broken: bool = False
    seconds: float = 0.0
    trace: str = field(default="", repr=False)


def perform(task: Task) -> Outcome:
    """Run a task in this process; running out of memory is no fault of it."""
    try:
        return Outcome(
            getattr(importlib.import_module(task.module), task.function)(**task.arguments)
        )
    except Exception as error:  # the report says which measurement failed, and goes on
        text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        if "OutOfMemory" in text or "not fit" in text:
            return Outcome(error=OUT_OF_MEMORY)
        broken = "CUDA error" in str(error) or "AcceleratorError" in text
        return Outcome(error=text[:300], broken=broken, trace=traceback.format_exc())
    finally:
        _free_memory()


class Worker:
    """A process that performs one task after the other, started with the first."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(self, task: Task, limit: float) -> Outcome:
        """Return the outcome of a task, which is ended after `limit` seconds."""
        if task.alone:
            self.close()
        if self._process is None or self._pipe is None:
            self._pipe, other = _CONTEXT.Pipe()
            self._process = _CONTEXT.Process(target=_serve, args=(other,), daemon=True)
            self._process.start()
            other.close()
        try:
            self._pipe.send(task)
            if self._pipe.poll(limit):
                outcome: Outcome = self._pipe.recv()
            else:
                outcome = Outcome(error=f"stopped after {limit:.0f} s", broken=True)
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            outcome = Outcome(error=f"the process ended with {code}", broken=True)
        if outcome.broken or task.alone:
            self.close()
        return outcome

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join(10)
        self._process = self._pipe = None


def _serve(pipe: Connection) -> None:
    os.dup2(2, 1)  # what libraries print is no part of the report
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(perform(task))


def _free_memory() -> None:
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with suppress(RuntimeError):  # after an error of a kernel, each call fails
            torch.cuda.empty_cache()
