"""What a training run is asked to do, and what it asks of whoever runs it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from prism_cli.configs.train import TrainConfig


class Watch(Protocol):
    """Signals and limits, asked between pieces of work."""

    @property
    def stopping(self) -> bool:
        """Whether nothing new may start."""

    def check(self) -> None:
        """Raise what stops the run, if anything does."""


class Bar(Protocol):
    """A progress that counts rows."""

    def advance(self, rows: int, usd: float) -> None:
        """`rows` more are through."""

    def skip(self, rows: int) -> None:
        """`rows` more are through since earlier attempts."""


@dataclass(frozen=True)
class TrainRequest:
    """What is trained, on what, into where.

    Attributes:
        inputs, dev: files, globs or directories of rows; dev may be empty.
        run: the run directory.
        say: tells the person at the terminal one line.
        show: label and total rows -> a progress for the block.
        fields: names of contract fields in the input, where they differ.
        limit: the first so many well-formed rows of `inputs` alone.
        overwrite: replace what another command left in `run`.
        resume: "auto" (the newest complete checkpoint), "never" (from the first step, in a
            directory that holds nothing or with `overwrite`), or the path of a checkpoint.
        tell_plan: told the plan's figures (`training/plan.py`) before the first step.
    """

    config: TrainConfig
    inputs: Sequence[str]
    run: Path
    watch: Watch
    say: Callable[[str], None]
    show: Callable[[str, int], AbstractContextManager[Bar]]
    tell_plan: Callable[[dict[str, Any]], None] = lambda _: None
    dev: Sequence[str] = ()
    fields: dict[str, str] = field(default_factory=dict)
    limit: int | None = None
    device: str = "auto"
    overwrite: bool = False
    resume: str = "auto"
