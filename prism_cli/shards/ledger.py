"""Ledger of replies: a SQLite cache by hash of the request, so that none is requested twice.

Commits are durable (synchronous FULL): a reply survives kill -9 and power cuts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from prism_cli.errors import DamagedFileError
from prism_cli.ports import Reply, Request, Usage
from prism_cli.shards.ledger_damage import damaged_ledger
from prism_cli.shards.ledger_file import Entry, checksum
from prism_cli.shards.spending_file import SpendingFile, Spent
from prism_cli.shards.timestamps import now_ms

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
    created_ms INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sequence (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    last INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS sent (intent TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_COLUMNS = (*Entry._fields, "checksum")
_INSERT = f"INTO replies ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_REPLACE = f"INSERT OR REPLACE {_INSERT}"
_MERGE = f"INSERT {_INSERT} ON CONFLICT (key) DO NOTHING"
_RESTORE = (
    f"INSERT {_INSERT} ON CONFLICT (key) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[1:])} "
    "WHERE excluded.sequence > sequence"
)
_NEXT = "UPDATE sequence SET last = max(last, ?) + 1"
UNUSABLE = b'{"unusable"'
"""Prefix of the value of a reply that could not be used."""
_USABLE = f"substr(value, 1, {len(UNUSABLE)}) <> CAST('{UNUSABLE.decode()}' AS BLOB)"
_NO_USAGE = Usage()


@dataclass
class Merged:
    """Counts of a merge.

    Attributes:
        new: entries that were added.
        known: entries that the ledger has already.
        conflicts: entries whose key has another reply in the ledger, which is kept.
    """

    new: int = 0
    known: int = 0
    conflicts: int = 0


class Ledger(SpendingFile):
    """One SQLite file, which several processes may share; for one thread at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)
        with self._guarded():
            self._add_columns()

    def find(
        self, keys: Sequence[bytes], after_sequence: int = 0, refusals_after_sequence: int = 0
    ) -> dict[bytes, Reply]:
        """Return the cached replies by key.

        Args:
            after_sequence: use only replies with a sequence number above this.
            refusals_after_sequence: likewise for refusals and replies that could not be used.
        """
        replies: dict[bytes, Reply] = {}
        loads = orjson.loads
        with self._guarded():
            for start in range(0, len(keys), _LOOKUP_KEYS):
                part = keys[start : start + _LOOKUP_KEYS]
                marks = ",".join("?" * len(part))
                for key, value, refusal, stored in self._db.execute(
                    "SELECT key, value, refusal, checksum FROM replies "
                    f"WHERE key IN ({marks}) AND sequence > ? "
                    f"AND (sequence > ? OR (refusal IS NULL AND {_USABLE}))",
                    (*part, after_sequence, refusals_after_sequence),
                ):
                    if stored != checksum(key, value, refusal):
                        raise self._damaged("a reply has changed since it was committed")
                    replies[key] = Reply(loads(value), refusal, _NO_USAGE)
        return replies

    def next_sequence(self, after_sequence: int = 0) -> int:
        """Return a new sequence number, above all earlier ones and above `after_sequence`."""
        with self._transaction():
            return self._next(after_sequence)

    def commit(
        self,
        stage: str,
        output: str,
        answered: Sequence[tuple[Request, Reply]],
        after_sequence: int = 0,
    ) -> None:
        """Store replies and add their usage to `output`, durably and in one transaction.

        Args:
            after_sequence: their sequence number is above this, and above all earlier ones.
        """
        now = now_ms()
        with self._transaction():
            sequence = self._next(after_sequence)
            rows = [
                Entry(
                    asked.key,
                    orjson.dumps(reply.value),
                    reply.refusal,
                    stage,
                    asked.backend.spec,
                    reply.usage.input_tokens,
                    reply.usage.output_tokens,
                    reply.usage.usd,
                    now,
                    sequence,
                )
                for asked, reply in answered
            ]
            self._db.executemany(_REPLACE, map(_columns_of, rows))
            self._spend(output, (reply for _, reply in answered))

    def merge(self, entries: Sequence[Entry], counts: Merged) -> None:
        """Store replies of another ledger, durably and in one transaction, and count them.

        Existing replies are kept. New ones count as committed now; no usage is added.
        """
        with self._transaction():
            sequence = self._next()
            for entry in entries:
                new = entry._replace(sequence=max(sequence, entry.sequence))
                if self._db.execute(_MERGE, _columns_of(new)).rowcount:
                    counts.new += 1
                    continue
                here = self._db.execute(
                    "SELECT value, refusal FROM replies WHERE key = ?", (entry.key,)
                ).fetchone()
                if here == (entry.value, entry.refusal):
                    counts.known += 1
                else:
                    counts.conflicts += 1
            self._next(max((entry.sequence for entry in entries), default=0))

    def note_sent(self, intents: Iterable[str]) -> None:
        """Note submitted batches: a store of batches that lacks one of them is damaged."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO sent VALUES (?)", ((intent,) for intent in intents)
            )

    def forget_sent(self, intents: Iterable[str]) -> None:
        """Remove batches that the store of batches no longer needs to have."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM sent WHERE intent = ?", ((intent,) for intent in intents)
            )

    def restore(self, entries: Sequence[Entry], *spent: Spent) -> None:
        """Store entries and usage of a damaged ledger, in any order and with repetitions; the last
        state counts."""
        with self._transaction():
            self._db.executemany(_RESTORE, map(_columns_of, entries))
            self._restore_spent(spent)
            self._next(max((entry.sequence for entry in entries), default=0))

    def usage(self) -> dict[str, Usage]:
        """Return the usage of all replies by backend."""
        with self._guarded():
            cursor = self._db.execute(
                "SELECT backend, sum(input_tokens), sum(output_tokens), sum(usd) "
                "FROM replies GROUP BY backend"
            )
            return {row[0]: Usage(*row[1:]) for row in cursor}

    def mean_usage(self, stage: str, backend: str) -> tuple[int, Usage]:
        """Return the number of replies of a backend in a stage, and their mean usage."""
        with self._guarded():
            count, *means = self._db.execute(
                "SELECT count(*), avg(input_tokens), avg(output_tokens), avg(usd) FROM replies "
                "WHERE stage = ? AND backend = ? AND refusal IS NULL",
                (stage, backend),
            ).fetchone()
        return count, Usage(round(means[0]), round(means[1]), means[2]) if count else Usage()

    def _next(self, after_sequence: int = 0) -> int:
        """Return the next sequence number; in a transaction."""
        self._db.execute(_NEXT, (after_sequence,))
        (last,) = self._db.execute("SELECT last FROM sequence").fetchone()
        return int(last)

    def _add_columns(self) -> None:
        """Add the columns that ledgers of earlier versions lack.

        Those ordered replies by time: `created_ms` becomes the sequence number, so that a
        `fresh_since` of that time still holds.
        """
        if not self._is_old():
            return
        with self._transaction():
            if not self._is_old():  # another process was faster
                return
            if "lost_calls" not in self._columns("spent"):
                self._db.execute(
                    "ALTER TABLE spent ADD COLUMN lost_calls INTEGER NOT NULL DEFAULT 0"
                )
            if "sequence" not in self._columns("replies"):
                self._db.execute(
                    "ALTER TABLE replies ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0"
                )
                self._db.execute("UPDATE replies SET sequence = created_ms")
            if "checksum" not in self._columns("replies"):
                self._db.execute(
                    "ALTER TABLE replies ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0"
                )
                self._db.create_function("checksum", 3, checksum, deterministic=True)
                self._db.execute("UPDATE replies SET checksum = checksum(key, value, refusal)")
            self._db.execute(
                "INSERT OR IGNORE INTO sequence SELECT 0, ifnull(max(sequence), 0) FROM replies"
            )

    def _is_old(self) -> bool:
        sequence = self._db.execute("SELECT 1 FROM sequence").fetchone()
        return (
            sequence is None
            or "lost_calls" not in self._columns("spent")
            or "checksum" not in self._columns("replies")
        )

    def _damaged(self, reason: str) -> DamagedFileError:
        return damaged_ledger(self.path, reason)


def _columns_of(entry: Entry) -> tuple[Any, ...]:
    """Return the columns of an entry, checksum included."""
    return (*entry, checksum(entry.key, entry.value, entry.refusal))
