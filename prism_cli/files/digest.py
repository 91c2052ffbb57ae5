"""SHA-256 of files and of streams; of a stream by another thread while the caller works on."""

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_THREAD_BYTES = 1 << 16
"""Smaller blocks are hashed by the caller: passing them to the thread would take longer."""


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class StreamDigest:
    """SHA-256 of blocks of bytes; at most one block waits to be hashed."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._last: Future[None] | None = None

    def update(self, block: bytes) -> None:
        """Add a block, which must not change afterwards."""
        self._wait()
        if len(block) < _THREAD_BYTES:
            self._sha256.update(block)
        else:
            self._last = _hasher().submit(self._sha256.update, block)

    def hexdigest(self) -> str:
        """Return the digest of all blocks so far, as hex."""
        self._wait()
        return self._sha256.hexdigest()

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None


@cache
def _hasher() -> "ThreadPoolExecutor":
    """Return one thread, since only one block of each stream is hashed at a time."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, "sha256")


os.register_at_fork(after_in_child=_hasher.cache_clear)  # a forked process has no threads
