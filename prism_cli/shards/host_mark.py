"""Mark of the host that uses a SQLite file on a network file system: `NAME.host`, renewed while the
file is open. SQLite's locks are not safe between hosts there."""

import os
import platform
import threading
import time
from contextlib import suppress
from pathlib import Path

from prism_cli.errors import LockedError
from prism_cli.shards.file_age import EVERY_SECONDS, STALE_SECONDS, seconds_since_change
from prism_cli.shards.file_creation import open_private

SETTLE_SECONDS = 1.0
"""Time after which another host that looked at the mark at the same moment has written its own."""


class HostMark:
    """Holds the mark of this host until `close`; processes of one host share it.

    Ages are those of the file system's own clock, which all hosts share.

    Raises:
        LockedError: another host renewed its mark in the last 20 s.
    """

    def __init__(self, path: Path, *, host: str | None = None) -> None:
        self._path = path.with_name(f"{path.name}.host")
        self._host = (host or platform.node()).encode()
        self._lost = ""
        holder = self._recent_holder()
        if holder == b"":  # being written
            time.sleep(SETTLE_SECONDS)
            holder = self._recent_holder()
        if holder is None:
            self._write()
            time.sleep(SETTLE_SECONDS)
            holder = self._recent_holder()
        if holder not in (None, self._host):
            raise LockedError(
                f"{path}: {_name(holder)} uses this file, which is on a network "
                "file system, where SQLite's locks are not safe between hosts: replies would be "
                "lost or paid for twice. Nothing was asked. Run the same command there, or here "
                "when that has ended; models of this process need no such file (--join)"
            )
        self._write()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="host mark", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop renewing the mark, which is left to age: other processes may need it."""
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LockedError if another host has replaced the mark."""
        if self._lost:
            raise LockedError(
                f"{self._path}: {self._lost} took over the file that this marks, on a network file "
                "system, while this process did not renew its mark; no more is asked here. Run the "
                "same command when that has ended"
            )

    def _recent_holder(self) -> bytes | None:
        """Return the host in the mark; None if there is none or it is old."""
        age = seconds_since_change(self._path)
        return self._path.read_bytes() if age is not None and age < STALE_SECONDS else None

    def _write(self) -> None:
        file = open_private(self._path)
        try:
            os.pwrite(file, self._host, 0)
            os.ftruncate(file, len(self._host))
        finally:
            os.close(file)

    def _renew(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            with suppress(OSError):  # a full disk is reported by the file itself
                holder = self._path.read_bytes() if self._path.exists() else self._host
                if holder not in (b"", self._host):
                    self._lost = _name(holder)
                    return
                self._write()


def _name(holder: bytes | None) -> str:
    return (holder or b"another host").decode(errors="replace")
