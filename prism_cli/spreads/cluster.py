"""Interface of a cluster, whichever it is."""

from collections.abc import Sequence
from typing import Any, Protocol


class WorkerDiedError(Exception):
    """A worker's process ended, or raised what prism does not expect."""


class Cluster(Protocol):
    """Place where workers run. A call is started at once and its reference is awaited."""

    @property
    def lost(self) -> bool:
        """True if no more workers can be started or found."""

    @property
    def answers(self) -> bool:
        """False while it cannot start workers, which may pass."""

    def start(self) -> Any:
        """Return a new worker, which may wait for free resources."""

    def call(self, worker: Any, method: str, *args: Any) -> Any:
        """Call a method of `ShardActor`; return the reference of its result."""

    def wait(self, references: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return those of the calls that have ended, after at most `seconds`."""

    def result(self, reference: Any) -> Any:
        """Return the result of a call that has ended.

        Raises:
            PrismError: of the call.
            WorkerDiedError: the worker is gone, or the call raised another error.
        """

    def kill(self, worker: Any) -> None:
        """End a worker at once."""
