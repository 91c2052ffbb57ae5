"""Temporary folder of this process, which the next process removes if this one is killed."""

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


class TemporaryFolder:
    """A folder in the system's folder for temporary files, made at the first use and removed at the
    end of the process.

    Args:
        prefix: beginning of its name, by which those of killed processes are found.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._path: Path | None = None
        self._lock = -1
        self._process = 0
        atexit.register(self.clear)

    def open(self) -> Path:
        """Return the folder; when it is made, remove those that killed processes left.

        Raises:
            OSError: it cannot be made.
        """
        if self._path is None or self._process != os.getpid():
            for left in Path(tempfile.gettempdir()).glob(f"{self._prefix}*"):
                _remove_unlocked(left)
            self._process = os.getpid()
            while True:
                path = Path(tempfile.mkdtemp(prefix=self._prefix))
                self._lock = os.open(path, os.O_RDONLY)
                with suppress(OSError):  # no locks: nobody removes it
                    fcntl.flock(self._lock, fcntl.LOCK_EX)
                if path.exists():  # not removed by another process before it was locked
                    break
                os.close(self._lock)
            self._path = path
        return self._path

    def clear(self) -> None:
        """Remove the folder; the next use makes another one."""
        if self._path and self._process == os.getpid():
            shutil.rmtree(self._path, ignore_errors=True)
            os.close(self._lock)
        self._path = None


def _remove_unlocked(folder: Path) -> None:
    with suppress(OSError):  # another user's, or in use
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
