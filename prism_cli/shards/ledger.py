"""Paid or slow replies, kept in sqlite under the hash of their request; what is here is never
asked for again. Commits are durable (synchronous FULL), so a reply survives kill -9 and power cuts.
"""

import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from prism_cli.errors import StorageError
from prism_cli.ports import Reply, Request, Usage
from prism_cli.shards.state import is_network_file_system

_LOOKUP_KEYS = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    refusal TEXT,
    stage TEXT NOT NULL,
    backend TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID
"""


class Ledger:
    """One sqlite file, shared safely by several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(mode=0o600)
        network = is_network_file_system(path.parent)
        if network:
            print(
                f"prism: warning: {path} lies on a network file system; using a rollback journal. "
                "Set PRISM_STATE to a local folder for speed and safety.",
                file=sys.stderr,
            )
        with self._guarded():
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.execute(f"PRAGMA journal_mode = {'DELETE' if network else 'WAL'}")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA cache_size = -65536")
            self._db.execute("PRAGMA mmap_size = 1073741824")
            self._db.execute(_SCHEMA)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        """The replies that are here, by key."""
        found: dict[bytes, Reply] = {}
        ordered = sorted(keys)  # neighbours in the tree share pages
        with self._guarded():
            for start in range(0, len(ordered), _LOOKUP_KEYS):
                part = ordered[start : start + _LOOKUP_KEYS]
                marks = ",".join("?" * len(part))
                for key, value, refusal in self._db.execute(
                    f"SELECT key, value, refusal FROM replies WHERE key IN ({marks})", part
                ):
                    found[key] = Reply(orjson.loads(value), refusal)
        return found

    def commit(self, stage: str, answered: Iterable[tuple[Request, Reply]]) -> None:
        """Keep replies, durably and all at once."""
        now = int(time.time())
        rows = [
            (
                asked.key,
                orjson.dumps(reply.value),
                reply.refusal,
                stage,
                asked.backend.spec,
                reply.usage.input_tokens,
                reply.usage.output_tokens,
                reply.usage.usd,
                now,
            )
            for asked, reply in answered
        ]
        with self._guarded():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(
                    "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
                )
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def usage(self) -> dict[str, Usage]:
        """What the replies of each backend cost together."""
        with self._guarded():
            cursor = self._db.execute(
                "SELECT backend, sum(input_tokens), sum(output_tokens), sum(usd) "
                "FROM replies GROUP BY backend"
            )
            return {row[0]: Usage(*row[1:]) for row in cursor}

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"{self.path}: the ledger cannot be used: {error}; what was committed before is "
                "kept. Check space and permissions, then run the same command again"
            ) from error
