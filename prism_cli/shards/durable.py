"""A sqlite file of the state directory: durable (synchronous FULL), for its owner alone, shared
safely by several processes."""

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prism_cli.errors import DamagedFileError
from prism_cli.shards.creation import make_private
from prism_cli.shards.state import is_network_file_system
from prism_cli.shards.storage_errors import storage_errors

_BUSY_SECONDS = 60.0
_CHECKED_BYTES = 64 << 20
"""A larger file is not looked through when it is opened."""
REPAIR_HINT = "`prism ledger repair {}` copies what can be read to a new one and deletes nothing"

_WARNED: set[Path] = set()
"""Folders that a warning was given of."""


def is_damage(error: BaseException | None) -> bool:
    """Whether sqlite found a file that is not as it was written."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DurableFile:
    """One database. One thread at a time.

    Args:
        schema: CREATE … IF NOT EXISTS statements.
    """

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
                f"prism: warning: {path} lies on a network file system; using a rollback journal. "
                "Set PRISM_STATE to a local folder for speed and safety.",
                file=sys.stderr,
            )
        with self._guarded():
            make_private(path)
            self._db = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._set_journal("DELETE" if network else "WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA cache_size = -32768")
            if path.stat().st_size <= _CHECKED_BYTES:
                (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise self._damaged(found)
            self._db.executescript(schema)

    def _damaged(self, words: str) -> DamagedFileError:
        return DamagedFileError(f"{self.path}: damaged ({words}); nothing more is asked")

    def close(self) -> None:
        """Release the file."""
        with self._guarded():
            self._db.close()

    def _set_journal(self, mode: str) -> None:
        """Turning WAL on needs the file alone, and sqlite does not wait for that by itself."""
        give_up = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._db.execute(f"PRAGMA journal_mode = {mode}")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    def _columns(self, table: str) -> set[str]:
        return {row[1] for row in self._db.execute(f"PRAGMA table_info({table})")}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block, durably, or nothing."""
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
        with self._storage:
            try:
                yield
            except sqlite3.Error as error:
                if is_damage(error):
                    raise self._damaged(str(error)) from error
                raise
