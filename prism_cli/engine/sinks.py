"""Write functions of one pass over a shard: for output rows, rejected rows and pending rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass
class Sinks:
    """Functions that write one line each.

    Attributes:
        row: for rows of the only output.
        routed: for rows of a stage with several outputs, by name of the output.
        rejected: for rejected input rows, with their reason.
        pending: for input rows without all replies.
    """

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
