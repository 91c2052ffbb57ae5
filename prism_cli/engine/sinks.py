"""Destinations of a pass's results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass
class Sinks:
    """Functions that write results."""

    row: Callable[[bytes], None]
    routed: Mapping[str, Callable[[bytes], None]]
    rejected: Callable[[bytes], None]
    pending: Callable[[bytes], None]

    @classmethod
    def discard(cls, outputs: Sequence[str]) -> "Sinks":
        """Return sinks that write nothing, for a pass that only asks."""

        def ignore(_data: bytes) -> None:
            pass

        return cls(ignore, dict.fromkeys(outputs, ignore), ignore, ignore)
