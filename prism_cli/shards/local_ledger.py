"""Cache of replies of models in this process, one per output.

The last digits of such a reply depend on the batch in which it was computed. A reply is therefore
stored with its batch plan and reused under the same plan only: the bytes of an output do not depend
on other outputs, nor on where a run was killed.
"""

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from hashlib import sha256
from os import path as paths
from pathlib import Path

import orjson

from prism_cli.errors import DamagedFileError
from prism_cli.ports import Reply, Request
from prism_cli.shards.spending_file import SpendingFile
from prism_cli.shards.timestamps import now_ms

_LOOKUP_KEYS = 500
_NAME_CHARACTERS = 60
_FOLDER = "local"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key BLOB NOT NULL,
    plan BLOB NOT NULL,
    value BLOB NOT NULL,
    refusal TEXT,
    stage TEXT NOT NULL,
    backend TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (key, plan)
) WITHOUT ROWID;
"""


StoredReply = tuple[bytes, str | None]
"""The columns `value`, a JSON object as bytes, and `refusal` of a reply."""


def decode_reply(stored: StoredReply) -> Reply:
    """Return the reply."""
    value, refusal = stored
    return Reply(orjson.loads(value), refusal)


class LocalLedger(SpendingFile):
    """One SQLite file, for one thread at a time."""

    of_one_output = True

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, dict[bytes, StoredReply]]:
        """Return the stored replies by plan and key."""
        replies: dict[bytes, dict[bytes, StoredReply]] = {}
        with self._guarded():
            for start in range(0, len(keys), _LOOKUP_KEYS):
                part = keys[start : start + _LOOKUP_KEYS]
                rows = self._db.execute(
                    "SELECT plan, key, value, refusal FROM replies "
                    f"WHERE key IN ({','.join('?' * len(part))})",
                    part,
                ).fetchall()
                for plan, key, value, refusal in rows:
                    replies.setdefault(plan, {})[key] = (value, refusal)
        return replies

    def commit(
        self, stage: str, output: str, plan: bytes, answered: Sequence[tuple[Request, Reply]]
    ) -> None:
        """Store replies that were computed in `plan`, durably and in one transaction."""
        now = now_ms()
        rows = [
            (
                asked.key, plan, orjson.dumps(reply.value), reply.refusal, stage,
                asked.backend.spec, reply.usage.input_tokens, reply.usage.output_tokens,
                reply.usage.usd, now,
            )
            for asked, reply in answered
        ]  # fmt: skip
        with self._transaction():
            self._db.executemany(
                f"INSERT OR REPLACE INTO replies VALUES ({','.join('?' * 10)})", rows
            )
            self._spend(output, (reply for _, reply in answered))

    def clear(self) -> None:
        """Delete all replies; the usage is kept."""
        with self._transaction():
            self._db.execute("DELETE FROM replies")


def open_local_ledger(path: Path) -> LocalLedger:
    """Open the ledger at `path`; create it if it is missing, replace it if it is damaged."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return LocalLedger(path)
    except DamagedFileError as error:
        print(f"prism: {error}; its replies are computed again", file=sys.stderr)
        remove_local_ledger(path)
        return LocalLedger(path)


def remove_local_ledger(path: Path) -> None:
    """Delete the ledger at `path`, which is closed, if it exists."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").unlink()


def clear_local_ledger(path: Path) -> None:
    """Delete the replies of the ledger at `path`, if it exists."""
    if path.is_file():
        with closing(open_local_ledger(path)) as ledger:
            ledger.clear()


def local_ledger_path(state: Path, output: Path) -> Path:
    """Return the path of the local ledger of `output` in the state directory `state`.

    It depends on their relative path alone, so that both can be moved together.
    """
    relative = paths.relpath(output.resolve(), state.resolve())
    digest = sha256(relative.encode(errors="surrogateescape")).hexdigest()[:16]
    return state / _FOLDER / f"{output.name[:_NAME_CHARACTERS]}-{digest}.sqlite"


def local_ledgers(states: Iterable[Path]) -> list[Path]:
    """Return the existing local ledgers in some state directories."""
    return [ledger for state in states for ledger in sorted(state.glob(f"{_FOLDER}/*.sqlite"))]
