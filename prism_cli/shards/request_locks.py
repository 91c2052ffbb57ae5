"""Locks on requests in progress: of all runs that share a ledger, one sends each request.

A lock is a kernel lock on one byte of a file, at an offset given by the request's key. Nothing is
written, and the lock ends with its process, however that ends.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from prism_cli.errors import StorageError
from prism_cli.shards.file_creation import open_private

if sys.platform != "win32":
    import fcntl

_OFFSETS = 2**62


class RequestLocks:
    """The locks of this process on the requests of one ledger.

    At most one object per ledger and process: closing any descriptor of the file releases all of
    the process's locks on it.

    Args:
        path: the file; created if missing, and never written to.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.fdopen(open_private(path), "r+b", buffering=0)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror}") from None

    def acquire(self, keys: Sequence[bytes]) -> bool:
        """Lock all keys, or none if another run has locked one of them; return whether it did.

        On a file system without locks every attempt succeeds.
        """
        for number, key in enumerate(keys):
            if not self._lock(key):
                self.release(keys[:number])
                return False
        return True

    def release(self, keys: Sequence[bytes]) -> None:
        """Release the locks on `keys`."""
        if sys.platform != "win32":
            for key in keys:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _offset(key))

    def close(self) -> None:
        """Release all locks."""
        self._file.close()

    def _lock(self, key: bytes) -> bool:
        if sys.platform != "win32":
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(key))
            except OSError as error:
                return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True


def in_use(path: Path, size: int = 0, start: int = 0) -> bool:
    """Return whether another process has a lock in the file at `path`.

    Args:
        size, start: the bytes to look at; those from `start` on if `size` is 0.
    """
    if sys.platform == "win32" or not path.is_file():
        return False
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, size, start)
        except OSError as error:
            return error.errno in (errno.EACCES, errno.EAGAIN)
    return False


def _offset(key: bytes) -> int:
    return int.from_bytes(key[:8], "big") % _OFFSETS
