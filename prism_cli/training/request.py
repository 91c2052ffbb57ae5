"""The request for a training run, and the interfaces that it needs from its caller."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from prism_cli.configs.train import TrainConfig


class Watch(Protocol):
    """Signals and limits, checked between pieces of work."""

    @property
    def stopping(self) -> bool:
        """True if no new work may start."""

    def check(self) -> None:
        """Raise the exception that stops the run, if there is one."""


class Bar(Protocol):
    """A progress bar that counts rows."""

    def advance(self, rows: int, usd: float) -> None:
        """Count `rows` as done."""

    def skip(self, rows: int) -> None:
        """Count `rows` as done in an earlier attempt."""


@dataclass(frozen=True)
class TrainRequest:
    """A training run to do.

    Attributes:
        inputs, dev: files, globs or directories of rows; dev may be empty.
        run: the run directory.
        say: prints a line for the user.
        show: label and total rows -> a context manager with a progress bar.
        fields: names of contract fields in the input that differ.
        limit: use only the first so many well-formed rows of `inputs`.
        overwrite: replace the output of another command in `run`.
        resume: "auto" (the newest complete checkpoint), "never" (from the first step; needs an
            empty directory or `overwrite`), or the path of a checkpoint.
        show_plan: called with the plan's figures (`training/plan.py`) before the first step.
    """

    config: TrainConfig
    inputs: Sequence[str]
    run: Path
    watch: Watch
    say: Callable[[str], None]
    show: Callable[[str, int], AbstractContextManager[Bar]]
    show_plan: Callable[[dict[str, Any]], None] = lambda _: None
    dev: Sequence[str] = ()
    fields: dict[str, str] = field(default_factory=dict)
    limit: int | None = None
    device: str = "auto"
    overwrite: bool = False
    resume: str = "auto"
