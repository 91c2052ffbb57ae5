"""SQLite file of batch submissions, the request keys in each, and replies as they came.

A submission is stored before anything is sent. Its status is `intended`, then `creating` from just
before the call that creates the batch, `open` once the batch's id is known, and `closed` when its
replies have been fetched. A key belongs to at most one submission at a time, so no two batches
answer it. (The table of submissions is named `intents`, as in files of earlier versions.)
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prism_cli.errors import DamagedFileError
from prism_cli.shards.durable import DurableFile
from prism_cli.shards.lock import is_locked
from prism_cli.shards.timestamps import now_ms

STORE_NAME = "batches.sqlite"
LOCK_NAME = "batches"
"""Output whose lock a process holds while it has submissions that are not batches yet."""
NOT_ANSWERED = 0
"""Status of a key that the batch did not answer; the body is the reason."""
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
    sequence INTEGER NOT NULL DEFAULT 0,
    file TEXT NOT NULL DEFAULT ''
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
_COLUMNS = "id, provider, model, usd, created_ms, status, changed_ms, requests, batch, file"


@dataclass(frozen=True, slots=True)
class BatchSubmission:
    """A batch, or a file about to become one.

    Attributes:
        id: stored in the batch's metadata at the provider.
        usd: estimated cost.
        created_ms, changed_ms: ms since the epoch.
        batch: the batch's id at the provider; "" until it is known.
        file: the id of its input file at the provider; "" until it is known.
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
    file: str


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply as the provider sent it.

    Attributes:
        status: HTTP status, or NOT_ANSWERED.
        body: JSON, or the reason why there is no reply.
        sequence: sequence number of its submission.
    """

    status: int
    body: bytes
    sequence: int


class BatchStore(DurableFile):
    """Batch submissions and replies of one state directory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)
        with self._guarded():
            self._add_columns()

    def _damaged(self, reason: str) -> DamagedFileError:
        return DamagedFileError(
            f"{self.path}: damaged ({reason}). It says which questions are in batches at a "
            "provider; without it they would be sent again, so nothing is asked. Restore it from a "
            "backup, or move it away when no batch is on its way: the next run with "
            "--accept-lost-replies begins a new one"
        )

    def add(
        self,
        submission: str,
        provider: str,
        model: str,
        usd: float,
        keys: Sequence[bytes],
        sequence: int = 0,
    ) -> None:
        """Store a submission and its keys, which no other submission may have.

        Args:
            sequence: number of the ledger that orders it among that ledger's commits.
        """
        now = now_ms()
        with self._transaction():
            self._db.execute(
                f"INSERT INTO intents ({_COLUMNS}, sequence) "
                "VALUES (?, ?, ?, ?, ?, 'intended', ?, ?, '', '', ?)",
                (submission, provider, model, usd, now, now, len(keys), sequence),
            )
            self._db.executemany(
                "INSERT INTO members VALUES (?, ?)", ((key, submission) for key in keys)
            )

    def mark_creating(self, submission: str, file: str) -> None:
        """Note that the provider may have a batch of the input file `file` from now on."""
        self._update(submission, "status = 'creating', file = ?", file)

    def mark_open(self, submission: str, batch: str) -> None:
        """Note the batch's id at the provider."""
        self._update(submission, "status = 'open', batch = ?", batch)

    def note_state(self, submission: str, words: str) -> None:
        """Note the state of an open batch, for `open_batches`."""
        with self._guarded():
            self._db.execute(
                "UPDATE intents SET words = ?, changed_ms = ? WHERE id = ? AND words <> ?",
                (words, now_ms(), submission, words),
            )

    def drop(self, submission: str) -> None:
        """Close a submission that did not become a batch, and free its keys."""
        with self._transaction():
            self._db.execute("DELETE FROM members WHERE intent = ?", (submission,))
            self._db.execute(
                "UPDATE intents SET status = 'closed', answered = 0 WHERE id = ?", (submission,)
            )

    def store_replies(
        self, submission: str, replies: Iterable[tuple[bytes, int, bytes]], reason: str
    ) -> None:
        """Store a batch's replies and close its submission. Does nothing if another process has
        done so.

        Args:
            replies: (key, status, body), in any order; keys of other submissions are ignored.
            reason: why keys without a reply have none.
        """
        with self._transaction():
            if not self._select("id = ? AND status = 'open'", (submission,)):
                return
            self._db.execute(
                "INSERT OR REPLACE INTO results SELECT key, ?, ?, sequence FROM members "
                "JOIN intents ON id = intent WHERE intent = ?",
                (NOT_ANSWERED, reason.encode("utf-8", "replace"), submission),
            )
            self._db.executemany(
                "UPDATE results SET status = ?, body = ? WHERE key = ? "
                "AND EXISTS (SELECT 1 FROM members WHERE members.key = results.key AND intent = ?)",
                ((status, body, key, submission) for key, status, body in replies),
            )
            self._db.execute(
                "UPDATE intents SET status = 'closed', changed_ms = ?, answered = (SELECT count(*) "
                "FROM members JOIN results USING (key) WHERE intent = id AND results.status > ?) "
                "WHERE id = ?",
                (now_ms(), NOT_ANSWERED, submission),
            )
            self._db.execute("DELETE FROM members WHERE intent = ?", (submission,))

    def replies(self, keys: Sequence[bytes]) -> dict[bytes, StoredReply]:
        """Return the stored replies to these keys."""
        query = "SELECT key, status, body, sequence FROM results WHERE key IN "
        return {key: StoredReply(*columns) for key, *columns in self._select_keys(query, keys)}

    def forget(self, replies: Mapping[bytes, StoredReply]) -> None:
        """Delete replies that are in the ledger or cannot be used; keep newer ones to these
        keys."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM results WHERE key = ? AND sequence = ?",
                ((key, reply.sequence) for key, reply in replies.items()),
            )

    def holders(
        self, keys: Sequence[bytes], *, include_uncertain: bool = False
    ) -> dict[bytes, str]:
        """Return the submission of each key that is in an open batch at a provider.

        Args:
            include_uncertain: also return submissions that may not have become a batch, and those
                that a live process is about to send.
        """
        states = "'open', 'creating', 'intended'" if include_uncertain else "'open'"
        query = (
            "SELECT key, intent, status FROM members JOIN intents ON id = intent "
            f"WHERE status IN ({states}) AND key IN "
        )
        found = list(self._select_keys(query, keys))
        some_intended = any(status == "intended" for *_, status in found)
        if some_intended and not is_locked(self.path.with_name(LOCK_NAME)):
            found = [row for row in found if row[2] != "intended"]  # of a process that was killed
        return {key: submission for key, submission, _ in found}

    def open_submissions(self, ids: Iterable[str]) -> list[BatchSubmission]:
        """Return those of these submissions whose replies have not been fetched."""
        with self._guarded():
            submissions = [row for id in ids for row in self._select("id = ?", (id,))]
        return [submission for submission in submissions if submission.status == "open"]

    def unsettled(self, provider: str) -> list[BatchSubmission]:
        """Return the submissions of which it is unknown whether they became batches."""
        with self._guarded():
            states = "status IN ('intended', 'creating')"
            return self._select(f"provider = ? AND {states}", (provider,))

    def _add_columns(self) -> None:
        """Add the columns that files of earlier versions lack; these ordered batches by time, as
        their ledgers did."""
        if {"sequence", "file"} <= self._columns("intents"):
            return
        with self._transaction():
            columns = self._columns("intents")  # another process may have added them meanwhile
            if "sequence" not in columns:
                self._db.execute(
                    "ALTER TABLE intents ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0"
                )
                self._db.execute("UPDATE intents SET sequence = created_ms")
                self._db.execute("ALTER TABLE results RENAME COLUMN asked_ms TO sequence")
            if "file" not in columns:
                self._db.execute("ALTER TABLE intents ADD COLUMN file TEXT NOT NULL DEFAULT ''")

    def ids(self) -> set[str]:
        """Return the ids of all submissions."""
        with self._guarded():
            return {row[0] for row in self._db.execute("SELECT id FROM intents")}

    def _update(self, submission: str, changes: str, value: str) -> None:
        with self._guarded():
            self._db.execute(
                f"UPDATE intents SET {changes}, changed_ms = ? WHERE id = ?",
                (value, now_ms(), submission),
            )

    def _select(self, where: str, values: tuple[str, ...]) -> list[BatchSubmission]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM intents WHERE {where}", values)
        return [BatchSubmission(*row) for row in rows]

    def _select_keys(self, query: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        with self._guarded():
            for start in range(0, len(keys), _LOOKUP_KEYS):
                part = keys[start : start + _LOOKUP_KEYS]
                yield from self._db.execute(f"{query}({','.join('?' * len(part))})", part)


def known_submissions(path: Path) -> set[str]:
    """Return the ids of all submissions in a store, closed ones included; none if the file is
    absent.

    Raises:
        DamagedFileError: the file cannot be read.
    """
    if not path.is_file() or not path.stat().st_size:
        return set()
    store = BatchStore(path)
    try:
        return store.ids()
    finally:
        store.close()


def open_batches(path: Path) -> list[dict[str, Any]]:
    """Return the open batches of a store, oldest first, without disturbing a run.

    Each has model, batch ("" while it is being created), questions, usd (estimate), created_ms and
    words (the provider's state when last asked).
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
    except sqlite3.Error:  # being created, or another kind of file
        return []
