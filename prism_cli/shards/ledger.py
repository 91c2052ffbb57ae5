"""Paid or slow replies, kept in sqlite under the hash of their request; what is here is never
asked for again. Commits are durable (synchronous FULL), so a reply survives kill -9 and power cuts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from prism_cli.ports import Reply, Request, Usage
from prism_cli.shards.clock import now_ms
from prism_cli.shards.durable import DurableFile
from prism_cli.shards.ledger_file import Entry

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
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    output TEXT PRIMARY KEY,
    asked INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    lost_calls INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_KEEP = "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SPEND = """
INSERT INTO spent VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (output) DO UPDATE SET
    asked = asked + excluded.asked,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    usd = usd + excluded.usd,
    lost_calls = lost_calls + excluded.lost_calls
"""
_USABLE = "substr(value, 1, 11) <> CAST('{\"unusable\"' AS BLOB)"
_SPENT = ("asked", "input_tokens", "output_tokens", "usd", "lost_calls")
_NO_USAGE = Usage()
_MERGE = (
    f"INSERT INTO replies ({', '.join(Entry._fields)}) "
    f"VALUES ({', '.join('?' * len(Entry._fields))}) ON CONFLICT (key) DO NOTHING"
)


@dataclass
class Merged:
    """What became of entries from elsewhere.

    Attributes:
        known: whose reply was here already, the same one.
        conflicts: whose key was here with another reply, which stays.
    """

    new: int = 0
    known: int = 0
    conflicts: int = 0


class Ledger(DurableFile):
    """One sqlite file, shared safely by several processes. One thread at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)
        with self._guarded():
            self._add_columns()

    def find(
        self, keys: Sequence[bytes], since_ms: int = 0, refused_since_ms: int = 0
    ) -> dict[bytes, Reply]:
        """The replies that are here, by key; only those committed after `since_ms`, and of
        refusals and replies that could not be used only those after `refused_since_ms`."""
        found: dict[bytes, Reply] = {}
        loads = orjson.loads
        with self._guarded():
            for start in range(0, len(keys), _LOOKUP_KEYS):
                part = keys[start : start + _LOOKUP_KEYS]
                marks = ",".join("?" * len(part))
                for key, value, refusal in self._db.execute(
                    "SELECT key, value, refusal FROM replies "
                    f"WHERE key IN ({marks}) AND created_ms > ? "
                    f"AND (created_ms > ? OR (refusal IS NULL AND {_USABLE}))",
                    (*part, since_ms, refused_since_ms),
                ):
                    found[key] = Reply(loads(value), refusal, _NO_USAGE)
        return found

    def commit(self, stage: str, output: str, answered: Sequence[tuple[Request, Reply]]) -> None:
        """Keep replies, durably and all at once, and what they cost under `output`."""
        now = now_ms()
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
        used = [reply.usage for _, reply in answered]
        sums = (
            len(used),
            sum(one.input_tokens for one in used),
            sum(one.output_tokens for one in used),
            sum(one.usd for one in used),
            0,
        )
        with self._transaction():
            self._db.executemany(_KEEP, rows)
            self._db.execute(_SPEND, (output, *sums))

    def merge(self, entries: Sequence[Entry], counts: Merged) -> None:
        """Keep replies from elsewhere, durably and all at once, and count them. A reply that is
        here already stays as it is; nothing is added to what was spent."""
        with self._transaction():
            for entry in entries:
                if self._db.execute(_MERGE, entry).rowcount:
                    counts.new += 1
                    continue
                here = self._db.execute(
                    "SELECT value, refusal FROM replies WHERE key = ?", (entry.key,)
                ).fetchone()
                if here == (entry.value, entry.refusal):
                    counts.known += 1
                else:
                    counts.conflicts += 1

    def add_lost_calls(self, output: str, count: int) -> None:
        """Note calls under `output` that ended without a reply and may have been billed."""
        with self._guarded():
            self._db.execute(_SPEND, (output, 0, 0, 0, 0.0, count))

    def spent(self, output: str) -> dict[str, float]:
        """asked, input_tokens, output_tokens, usd and lost_calls of all commits under `output`."""
        with self._guarded():
            row = self._db.execute(
                f"SELECT {', '.join(_SPENT)} FROM spent WHERE output = ?", (output,)
            ).fetchone()
        return dict(zip(_SPENT, row or (0, 0, 0, 0.0, 0), strict=True))

    def usage(self) -> dict[str, Usage]:
        """What the replies of each backend cost together."""
        with self._guarded():
            cursor = self._db.execute(
                "SELECT backend, sum(input_tokens), sum(output_tokens), sum(usd) "
                "FROM replies GROUP BY backend"
            )
            return {row[0]: Usage(*row[1:]) for row in cursor}

    def mean_usage(self, stage: str, backend: str) -> tuple[int, Usage]:
        """Replies of a backend in a stage, and what one cost on average."""
        with self._guarded():
            count, *means = self._db.execute(
                "SELECT count(*), avg(input_tokens), avg(output_tokens), avg(usd) FROM replies "
                "WHERE stage = ? AND backend = ? AND refusal IS NULL",
                (stage, backend),
            ).fetchone()
        return count, Usage(round(means[0]), round(means[1]), means[2]) if count else Usage()

    def _add_columns(self) -> None:
        """What ledgers of earlier versions lack."""
        if not self._lacks_lost_calls():
            return
        self._db.execute("BEGIN IMMEDIATE")
        if self._lacks_lost_calls():  # not added by another process meanwhile
            self._db.execute("ALTER TABLE spent ADD COLUMN lost_calls INTEGER NOT NULL DEFAULT 0")
        self._db.execute("COMMIT")

    def _lacks_lost_calls(self) -> bool:
        columns = self._db.execute("PRAGMA table_info(spent)")
        return "lost_calls" not in {row[1] for row in columns}
