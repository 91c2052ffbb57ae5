"""Tables that may outgrow memory: sqlite files that vanish with the run."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prism_cli.shards.storage_errors import storage_errors


class Spill:
    """A private sqlite database on disk, in the folder that $SQLITE_TMPDIR or $TMPDIR names.

    Every method raises StorageError where that folder is full.

    Args:
        columns: the columns of its one table `spill`, as in CREATE TABLE.
        options: what follows them, such as WITHOUT ROWID.
    """

    def __init__(self, columns: str, options: str = "") -> None:
        with _storage():
            self._db = sqlite3.connect("", isolation_level=None)  # "": a temporary file, cached
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(f"CREATE TABLE spill ({columns}) {options}")

    def fill(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one INSERT for each of `rows`."""
        with _storage():
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")

    def index(self, columns: str) -> None:
        """Make rows be found by `columns`."""
        with _storage():
            self._db.execute(f"CREATE INDEX by_columns ON spill ({columns})")

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a SELECT."""
        with _storage():
            yield from self._db.execute(query, values)


class SeenTexts:
    """Whether a key came with another text before; keys beyond `memory` go to disk."""

    def __init__(self, memory: int = 200_000) -> None:
        self._recent: dict[bytes, bytes] = {}
        self._memory = memory
        self._spill: Spill | None = None

    def conflicts(self, key: bytes, text: bytes) -> bool:
        """Remember `text` (a digest) for `key`; True where another one is already there."""
        return self.first(key, text) != text

    def first(self, key: bytes, text: bytes) -> bytes:
        """The text that came first with `key`; `text` itself, which is remembered then, where none
        did."""
        known = self._recent.get(key)
        if known is None and self._spill is not None:
            found = list(self._spill.rows("SELECT t FROM spill WHERE k = ?", (key,)))
            known = found[0][0] if found else None
        if known is not None:
            return known
        self._recent[key] = text
        if len(self._recent) >= self._memory:
            if self._spill is None:
                self._spill = Spill("k BLOB PRIMARY KEY, t BLOB NOT NULL", "WITHOUT ROWID")
            self._spill.fill("INSERT INTO spill VALUES (?, ?)", sorted(self._recent.items()))
            self._recent.clear()
        return text


def _storage() -> storage_errors:
    return storage_errors(
        "temporary table",
        "nothing was published",
        advice="Make room in the folder for temporary files, or name another with TMPDIR",
    )
