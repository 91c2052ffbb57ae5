"""Figures that a stage counts: begun anew for each shard, and added up over the run."""

from collections import Counter
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Mergeable(Protocol):
    """Figures in a form of their own."""

    def merge(self, other: Any) -> None:
        """Add those of `other`, of the same type."""


@runtime_checkable
class Renewable(Protocol):
    """Figures that are not made from nothing."""

    def anew(self) -> Any:
        """The same before anything was counted."""


def begun_anew(figures: Any) -> Any:
    """The same before anything was counted."""
    if isinstance(figures, Renewable):
        return figures.anew()
    if isinstance(figures, dict) and not isinstance(figures, Counter):
        return {name: begun_anew(one) for name, one in figures.items()}
    return type(figures)()


def added(earlier: Any, later: Any) -> Any:
    """Both together; `earlier`, where it only serves to count, such as a set of texts."""
    if isinstance(earlier, Mergeable):
        earlier.merge(later)
    elif isinstance(earlier, Counter):
        earlier.update(later)
    elif isinstance(earlier, dict):
        for name, one in later.items():
            earlier[name] = added(earlier[name], one) if name in earlier else one
    elif isinstance(earlier, int | list):
        return earlier + later
    return earlier
