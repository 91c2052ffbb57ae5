"""Specification by which a worker in another process builds the stage: a function of the command,
and its settings.

No stage and no model is ever pickled: the worker imports the function and loads what it needs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ParamSpec

from prism_cli.engine.stage import RowStage

P = ParamSpec("P")


@dataclass(frozen=True)
class StageSpec:
    """A function by name, and its arguments.

    Attributes:
        builder: MODULE:FUNCTION, which returns the stage.
        arguments: plain settings, which can be pickled.
    """

    builder: str
    arguments: tuple[Any, ...]

    @classmethod
    def of(cls, function: Callable[P, RowStage], *args: P.args, **kwargs: P.kwargs) -> "StageSpec":
        """Return the spec of a function at the top of a module with its positional arguments."""
        assert not kwargs
        return cls(f"{function.__module__}:{function.__qualname__}", args)

    def build(self) -> RowStage:
        """Return a new stage."""
        module, _, name = self.builder.partition(":")
        stage: RowStage = getattr(import_module(module), name)(*self.arguments)
        return stage
