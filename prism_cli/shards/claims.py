"""What is being asked at this moment, among all runs that share a ledger: each question by one run.

A claim is a kernel lock on one byte of a file, whose place the request's key decides. Nothing is
written, and the lock ends with its process, however that ends.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from prism_cli.errors import StorageError
from prism_cli.shards.creation import open_private

if sys.platform != "win32":
    import fcntl

_PLACES = 2**62


class Claims:
    """The claims of this process; of one ledger it may have one such object, as closing any file
    gives up the locks of all.

    Args:
        path: the file; made where it is not there, and stays empty.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.fdopen(open_private(path), "r+b", buffering=0)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror}") from None

    def take(self, keys: Sequence[bytes]) -> bool:
        """Claim all of them, or none where another run has claimed one. A file system without
        locks refuses nobody."""
        for number, key in enumerate(keys):
            if not self._lock(key):
                self.give_back(keys[:number])
                return False
        return True

    def give_back(self, keys: Sequence[bytes]) -> None:
        """Give claims up."""
        if sys.platform != "win32":
            for key in keys:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(key))

    def close(self) -> None:
        """Give all claims up."""
        self._file.close()

    def _lock(self, key: bytes) -> bool:
        if sys.platform != "win32":
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
            except OSError as error:
                return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True


def in_use(path: Path) -> bool:
    """Whether another process has a claim in the file at `path`."""
    if sys.platform == "win32" or not path.exists():
        return False
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EACCES, errno.EAGAIN)
    return False


def _place(key: bytes) -> int:
    return int.from_bytes(key[:8], "big") % _PLACES
