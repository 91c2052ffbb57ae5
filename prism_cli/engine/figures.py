"""Figures that a stage counts: reset for each shard, and summed over the run."""

from collections import Counter
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Mergeable(Protocol):
    """Figures of a type that sums itself."""

    def merge(self, other: Any) -> None:
        """Add the figures of `other`, of the same type."""


@runtime_checkable
class Resettable(Protocol):
    """Figures whose constructor takes arguments."""

    def new_copy(self) -> Any:
        """Return the same object before anything was counted."""


def empty_copy(figures: Any) -> Any:
    """Return the same figures before anything was counted."""
    if isinstance(figures, Resettable):
        return figures.new_copy()
    if isinstance(figures, dict) and not isinstance(figures, Counter):
        return {name: empty_copy(figure) for name, figure in figures.items()}
    return type(figures)()


def is_sum(figures: Any) -> bool:
    """Return whether `merged` adds such figures, and does not only keep them to count."""
    return isinstance(figures, Mergeable | dict | int | list)


def merged(earlier: Any, later: Any) -> Any:
    """Return the sum of both. Return `earlier` where it only serves to count, such as a set of
    texts."""
    if isinstance(earlier, Mergeable):
        earlier.merge(later)
    elif isinstance(earlier, Counter):
        earlier.update(later)
    elif isinstance(earlier, dict):
        for name, figure in later.items():
            earlier[name] = merged(earlier[name], figure) if name in earlier else figure
    elif isinstance(earlier, int | list):
        return earlier + later
    return earlier
