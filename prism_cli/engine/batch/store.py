"""What is known of batches at providers: intents, the keys that each holds, replies as they came.

An intent is stored before anything is sent. It is `intended`, then `creating` from just before the
call that makes the batch, `open` once the batch's name is known, and `closed` when its replies
have been fetched. A key is held by one intent at a time, so that no two batches answer it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prism_cli.errors import DamagedFileError
from prism_cli.shards.clock import now_ms
from prism_cli.shards.durable import DurableFile

STORE_NAME = "batches.sqlite"
NOT_ANSWERED = 0
"""Status of a key to which the batch gave no reply; the body says why."""
_LOOKUP_KEYS = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
    id TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    usd REAL NOT NULL,
    created_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    answered INTEGER,
    batch TEXT NOT NULL DEFAULT '',
    words TEXT NOT NULL DEFAULT '',
    sequence INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (key BLOB PRIMARY KEY, intent TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS members_by_intent ON members (intent);
CREATE TABLE IF NOT EXISTS results (
    key BLOB PRIMARY KEY,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    sequence INTEGER NOT NULL
);
"""
_INTENT = "id, provider, model, usd, created_ms, status, changed_ms, requests, batch"


@dataclass(frozen=True, slots=True)
class BatchSubmission:
    """A batch that is meant to be, or is.

    Attributes:
        id: stands in the batch's metadata at the provider.
        usd: what it will cost, about.
        created_ms, changed_ms: ms since the epoch.
        batch: the provider's name for it; "" while that is not known.
    """

    id: str
    provider: str
    model: str
    usd: float
    created_ms: int
    status: str
    changed_ms: int
    requests: int
    batch: str


@dataclass(frozen=True, slots=True)
class Result:
    """A reply as it came.

    Attributes:
        status: of HTTP, or NOT_ANSWERED.
        body: its JSON, or why there is none.
        sequence: that of its intent.
    """

    status: int
    body: bytes
    sequence: int


class BatchStore(DurableFile):
    """The book of one state directory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)
        with self._guarded():
            self._add_columns()

    def _damaged(self, words: str) -> DamagedFileError:
        return DamagedFileError(
            f"{self.path}: damaged ({words}). It says which questions are in batches at a "
            "provider; without it they would be sent again, so nothing is asked. Restore it from a "
            "backup, or move it away when no batch is on its way: the next run with "
            "--accept-lost-replies begins a new one"
        )

    def intend(
        self,
        intent: str,
        provider: str,
        model: str,
        usd: float,
        keys: Sequence[bytes],
        sequence: int = 0,
    ) -> None:
        """Store an intent and its keys, which no other may hold.

        Args:
            sequence: a number of the ledger's that orders it among that ledger's commits.
        """
        now = now_ms()
        with self._transaction():
            self._db.execute(
                f"INSERT INTO intents ({_INTENT}, sequence) "
                "VALUES (?, ?, ?, ?, ?, 'intended', ?, ?, '', ?)",
                (intent, provider, model, usd, now, now, len(keys), sequence),
            )
            self._db.executemany(
                "INSERT INTO members VALUES (?, ?)", ((key, intent) for key in keys)
            )

    def creating(self, intent: str) -> None:
        """From now on the provider may have the batch."""
        self._turn(intent, "creating")

    def created(self, intent: str, batch: str) -> None:
        """The provider has it, under that name."""
        self._turn(intent, "open", batch)

    def tell(self, intent: str, words: str) -> None:
        """Note where an open batch stands, for `open_batches`."""
        with self._guarded():
            self._db.execute(
                "UPDATE intents SET words = ?, changed_ms = ? WHERE id = ? AND words <> ?",
                (words, now_ms(), intent, words),
            )

    def drop(self, intent: str) -> None:
        """Nothing came of it: its keys are free."""
        with self._transaction():
            self._db.execute("DELETE FROM members WHERE intent = ?", (intent,))
            self._db.execute(
                "UPDATE intents SET status = 'closed', answered = 0 WHERE id = ?", (intent,)
            )

    def fetched(
        self, intent: str, replies: Iterable[tuple[bytes, int, bytes]], otherwise: str
    ) -> None:
        """Keep a batch's replies and close it; a no-op where another process has done so.

        Args:
            replies: (key, status, body), in any order; keys that the intent does not hold are
                passed over.
            otherwise: why keys without a reply have none.
        """
        with self._transaction():
            if not self._select("id = ? AND status = 'open'", (intent,)):
                return
            self._db.execute(
                "INSERT OR REPLACE INTO results SELECT key, ?, ?, sequence FROM members "
                "JOIN intents ON id = intent WHERE intent = ?",
                (NOT_ANSWERED, otherwise.encode("utf-8", "replace"), intent),
            )
            self._db.executemany(
                "UPDATE results SET status = ?, body = ? WHERE key = ? "
                "AND EXISTS (SELECT 1 FROM members WHERE members.key = results.key AND intent = ?)",
                ((status, body, key, intent) for key, status, body in replies),
            )
            self._db.execute(
                "UPDATE intents SET status = 'closed', changed_ms = ?, answered = (SELECT count(*) "
                "FROM members JOIN results USING (key) WHERE intent = id AND results.status > ?) "
                "WHERE id = ?",
                (now_ms(), NOT_ANSWERED, intent),
            )
            self._db.execute("DELETE FROM members WHERE intent = ?", (intent,))

    def results(self, keys: Sequence[bytes]) -> dict[bytes, Result]:
        """Replies that have come for these keys and are not forgotten."""
        query = "SELECT key, status, body, sequence FROM results WHERE key IN "
        return {key: Result(*rest) for key, *rest in self._of(query, keys)}

    def forget(self, results: Mapping[bytes, Result]) -> None:
        """Drop replies: they are in the ledger, or no use. Newer ones for these keys stay."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM results WHERE key = ? AND sequence = ?",
                ((key, one.sequence) for key, one in results.items()),
            )

    def on_their_way(self, keys: Sequence[bytes], *, perhaps: bool = False) -> dict[bytes, str]:
        """The intent that holds a key, for those that are in a batch at a provider.

        Args:
            perhaps: and for those of which that is not known.
        """
        states = "('open', 'creating')" if perhaps else "('open')"
        query = (
            "SELECT key, intent FROM members JOIN intents ON id = intent "
            f"WHERE status IN {states} AND key IN "
        )
        return dict(self._of(query, keys))

    def open_intents(self, ids: Iterable[str]) -> list[BatchSubmission]:
        """Of these intents those whose replies have not been fetched."""
        with self._guarded():
            found = [one for id in ids for one in self._select("id = ?", (id,))]
        return [one for one in found if one.status == "open"]

    def unsettled(self, provider: str) -> list[BatchSubmission]:
        """Intents of which it is not known whether the provider has them."""
        with self._guarded():
            states = "status IN ('intended', 'creating')"
            return self._select(f"provider = ? AND {states}", (provider,))

    def _add_columns(self) -> None:
        """What books of earlier versions lack: they ordered batches by time, as their ledgers
        did."""
        if "sequence" in self._columns("intents"):
            return
        with self._transaction():
            if "sequence" not in self._columns("intents"):  # not added by another process meanwhile
                self._db.execute(
                    "ALTER TABLE intents ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0"
                )
                self._db.execute("UPDATE intents SET sequence = created_ms")
                self._db.execute("ALTER TABLE results RENAME COLUMN asked_ms TO sequence")

    def intents(self) -> set[str]:
        """The ids of all."""
        with self._guarded():
            return {row[0] for row in self._db.execute("SELECT id FROM intents")}

    def _turn(self, intent: str, status: str, batch: str = "") -> None:
        with self._guarded():
            self._db.execute(
                "UPDATE intents SET status = ?, batch = ?, changed_ms = ? WHERE id = ?",
                (status, batch, now_ms(), intent),
            )

    def _select(self, where: str, values: tuple[str, ...]) -> list[BatchSubmission]:
        rows = self._db.execute(f"SELECT {_INTENT} FROM intents WHERE {where}", values)
        return [BatchSubmission(*row) for row in rows]

    def _of(self, query: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        with self._guarded():
            for start in range(0, len(keys), _LOOKUP_KEYS):
                part = keys[start : start + _LOOKUP_KEYS]
                yield from self._db.execute(f"{query}({','.join('?' * len(part))})", part)


def known_submissions(path: Path) -> set[str]:
    """The intents that a book holds, also closed ones; none where there is no book.

    Raises:
        DamagedFileError: it cannot be read.
    """
    if not path.is_file() or not path.stat().st_size:
        return set()
    book = BatchStore(path)
    try:
        return book.intents()
    finally:
        book.close()


def open_batches(path: Path) -> list[dict[str, Any]]:
    """The batches of a book that are on their way, oldest first; no run is disturbed.

    Returns: for each model, batch ("" while it is being made), questions, usd (about), created_ms
    and words (the provider's, when last asked).
    """
    if not path.is_file():
        return []
    names = ("model", "batch", "questions", "usd", "created_ms", "words")
    query = (
        "SELECT model, batch, requests, usd, created_ms, words FROM intents "
        "WHERE status <> 'closed' ORDER BY created_ms"
    )
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            return [dict(zip(names, row, strict=True)) for row in db.execute(query)]
    except sqlite3.Error:  # being made, or no book of ours
        return []
