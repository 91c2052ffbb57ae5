"""SQLite files of the state directory: durable (synchronous FULL), private, safe to share between
processes."""

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from prism_cli.errors import DamagedFileError
from prism_cli.shards.file_creation import make_private
from prism_cli.shards.host_mark import HostMark
from prism_cli.shards.state import is_network_file_system
from prism_cli.shards.storage_errors import storage_errors

_BUSY_SECONDS = 60.0
_CHECKED_BYTES = 64 << 20
"""Size above which a file is not checked when it is opened."""
REPAIR_HINT = "`prism ledger repair {}` copies what can be read to a new file and deletes nothing"

_WARNED: set[Path] = set()
"""Folders about which a warning was printed."""


def is_damage(error: BaseException | None) -> bool:
    """Return whether an error means that SQLite found a damaged file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DurableFile:
    """One database, for one thread at a time.

    Args:
        schema: CREATE … IF NOT EXISTS statements.

    Attributes:
        of_one_output: True if only the holder of an output's lock opens the file; others are
            refused on a network file system while another host uses them.

    Raises:
        LockedError: another host uses it.
    """

    of_one_output: ClassVar[bool] = False

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._storage = storage_errors(
            path,
            "what was committed before is kept",
            "cannot be used",
            "Check space and permissions, then run the same command again",
        )
        network = is_network_file_system(path.parent)
        if network and path.parent not in _WARNED:
            _WARNED.add(path.parent)
            print(
                f"prism: warning: {path} is on a network file system; using a rollback journal. "
                "Set PRISM_STATE to a local folder for speed and safety.",
                file=sys.stderr,
            )
        self._mark: HostMark | None = None
        with self._guarded():
            shared = network and not self.of_one_output
            self._mark = HostMark(path) if shared else None
            make_private(path)
            self._db = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._set_journal("DELETE" if network else "WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA cache_size = -32768")
            if path.stat().st_size <= _CHECKED_BYTES:
                (result,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
                if result != "ok":
                    raise self._damaged(result)
            self._db.executescript(schema)

    def _damaged(self, reason: str) -> DamagedFileError:
        return DamagedFileError(f"{self.path}: damaged ({reason}); no more requests are sent")

    def close(self) -> None:
        """Release the file."""
        mark, self._mark = self._mark, None
        with self._guarded():
            self._db.close()
        if mark is not None:
            mark.close()

    def _set_journal(self, mode: str) -> None:
        """Set the journal mode; retries, as SQLite does not wait for exclusive access."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._db.execute(f"PRAGMA journal_mode = {mode}")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _columns(self, table: str) -> set[str]:
        return {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit everything in the block durably, or nothing."""
        with self._guarded():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if self._mark is not None:
            self._mark.check()
        with self._storage:
            try:
                yield
            except sqlite3.Error as error:
                if is_damage(error):
                    raise self._damaged(str(error)) from error
                raise
