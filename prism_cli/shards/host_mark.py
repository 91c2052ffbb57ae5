"""Mark of the host that uses a SQLite file on a network file system: `NAME.host`, renewed while the
file is open. SQLite's locks are not safe between hosts there."""

import os
import platform
import threading
from contextlib import suppress
from pathlib import Path

from prism_cli.errors import LockedError
from prism_cli.shards.file_age import EVERY_SECONDS, STALE_SECONDS, seconds_since_change
from prism_cli.shards.file_creation import open_private


class HostMark:
    """Holds the mark of this host until `close`; processes of one host share it.

    Ages are those of the file system's own clock, which all hosts share.

    Raises:
        LockedError: another host renewed its mark in the last 20 s.
    """

    def __init__(self, path: Path, *, host: str | None = None) -> None:
        self._path = path.with_name(f"{path.name}.host")
        self._host = (host or platform.node()).encode()
        age = seconds_since_change(self._path)
        holder = self._path.read_bytes() if age is not None else b""
        if holder not in (b"", self._host) and age is not None and age < STALE_SECONDS:
            raise LockedError(
                f"{path}: {holder.decode(errors='replace')} uses this file, which is on a network "
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

    def _write(self) -> None:
        file = open_private(self._path)
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, self._host, 0)
        finally:
            os.close(file)

    def _renew(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            with suppress(OSError):  # a full disk is reported by the file itself
                self._write()
