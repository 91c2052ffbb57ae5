"""Protocols of a provider's batch API, as the engine sees it."""

from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, runtime_checkable

from prism_cli.ports import CallBackend, Reply, Value


@dataclass(frozen=True, slots=True)
class BatchState:
    """The state of a batch at its provider.

    Attributes:
        ended: True if there will be no more replies.
        status: validating, in_progress, completed, failed, expired, cancelled or the like.
        words: the status, with the error if there was one.
        completed, failed: number of questions answered with success, and with an error; None if the
            provider gives no counts.
        total: number of questions, as the provider says.
        files: names of the files with its replies.
    """

    ended: bool
    status: str
    words: str
    completed: int | None = 0
    failed: int | None = 0
    total: int = 0
    files: tuple[str, ...] = ()


class BatchEndpoint(Protocol):
    """The batch API of a provider. Every method raises like `CallBackend.answer`."""

    @property
    def name(self) -> str:
        """The name of the provider."""

    @property
    def endpoint(self) -> str:
        """The address, without its host, that is in each line of a batch file."""

    async def upload(self, file: BinaryIO, name: str) -> str:
        """Upload a file at no cost; return the provider's name for it."""

    async def create(self, file: str, mark: str, settle_seconds: float) -> str:
        """Create at most one batch of that file with the label `mark`; return its name."""

    async def find(self, mark: str, file: str) -> str | None:
        """Return the name of the batch with the label `mark` or of that file ("": unknown)."""

    async def look(self, batch: str) -> BatchState | None:
        """Return the state of a batch; None for a name that the provider does not know."""

    async def fetch(self, file: str) -> list[tuple[bytes, int, bytes]] | None:
        """Return (key, status or 0, body or reason) of each reply; None for an unknown file."""


@runtime_checkable
class BatchableBackend(CallBackend, Protocol):
    """A server that also accepts questions by batch file, one per line."""

    @property
    def batch_endpoint(self) -> BatchEndpoint | None:
        """The provider's batch API; None if it has none."""

    @property
    def batch_share(self) -> float:
        """Price of a reply in a batch, as a share of a call's."""

    def batch_line(self, payload: Any) -> Value:
        """Return the body that a call would send."""

    def read_batch(self, payload: Any, status: int, body: bytes) -> Reply:
        """Return the reply from a batch.

        Args:
            status: HTTP status; 0 if there was none, and `body` has the reason.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as for `answer`.
        """
