"""Temporary tables and objects that may exceed memory, in files that are deleted when the process
ends."""

import pickle
import sqlite3
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, Generic, TypeVar

from prism_cli.shards.remote.requests import check_stop
from prism_cli.shards.storage_errors import storage_errors

_STEPS = 1_000_000
"""Steps of SQLite's machine between two looks whether a run must stop: some 10 ms."""
Item = TypeVar("Item")


class Spill:
    """Private SQLite database on disk, in the folder of $SQLITE_TMPDIR or $TMPDIR.

    Every method raises StorageError if that folder is full.

    Args:
        columns: columns of its only table, `spill`, as in CREATE TABLE.
        options: options of the table, such as WITHOUT ROWID.
        stoppable: whether a long statement raises if the run must stop.
    """

    def __init__(self, columns: str, options: str = "", *, stoppable: bool = False) -> None:
        with spill_errors():
            self._db = sqlite3.connect("", isolation_level=None)  # "": a temporary file, cached
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(f"CREATE TABLE spill ({columns}) {options}")
            if stoppable:
                self._db.set_progress_handler(check_stop, _STEPS)

    def fill(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run an INSERT for each of `rows`."""
        with spill_errors(), _stop_errors():
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")

    def index(self, columns: str) -> None:
        """Create an index of `columns`."""
        with spill_errors():
            self._db.execute(f"CREATE INDEX by_columns ON spill ({columns})")

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a SELECT."""
        with spill_errors(), _stop_errors():
            yield from self._db.execute(query, values)


class SpilledObjects(Generic[Item]):
    """Objects pickled in a private file in the folder of $TMPDIR, in order.

    Raises StorageError if that folder is full. Add all objects before any is read.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        with spill_errors():
            self._file = tempfile.TemporaryFile(prefix="prism-spill-")  # noqa: SIM115
        weakref.finalize(self, close_spill, self._file)
        self._count = 0
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        """Store an object behind the others."""
        with spill_errors():
            pickle.dump(item, self._file, pickle.HIGHEST_PROTOCOL)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        """Yield the objects, one in memory at a time."""
        with spill_errors():
            self._file.seek(0)  # flushes
        for _ in range(self._count):
            yield pickle.load(self._file)


class SeenTexts:
    """First text of each key; keys beyond `memory` are stored on disk."""

    def __init__(self, memory: int = 200_000) -> None:
        self._recent: dict[bytes, bytes] = {}
        self._memory = memory
        self._spill: Spill | None = None

    def conflicts(self, key: bytes, text: bytes) -> bool:
        """Store `text` (a digest) for `key`; return whether the key has another text already."""
        return self.first(key, text) != text

    def first(self, key: bytes, text: bytes) -> bytes:
        """Return the first text of `key`; for a new key store and return `text`."""
        stored = self._recent.get(key)
        if stored is None and self._spill is not None:
            matches = list(self._spill.rows("SELECT t FROM spill WHERE k = ?", (key,)))
            stored = matches[0][0] if matches else None
        if stored is not None:
            return stored
        self._recent[key] = text
        if len(self._recent) >= self._memory:
            if self._spill is None:
                self._spill = Spill("k BLOB PRIMARY KEY, t BLOB NOT NULL", "WITHOUT ROWID")
            self._spill.fill("INSERT INTO spill VALUES (?, ?)", sorted(self._recent.items()))
            self._recent.clear()
        return text


def close_spill(file: IO[bytes]) -> None:
    """Close a temporary file."""
    with suppress(OSError):  # a full disk has been reported
        file.close()


@contextmanager
def _stop_errors() -> Iterator[None]:
    """Raise the error of `check_stop`, which SQLite replaces by its own."""
    try:
        yield
    except sqlite3.OperationalError:
        check_stop()
        raise


def spill_errors() -> storage_errors:
    """Raise StorageError for a failed write to a temporary file."""
    return storage_errors(
        "temporary file",
        "nothing was published",
        advice="Make room in the folder for temporary files, or name another with TMPDIR",
    )
