"""Replies of the models in this process, for one output alone; they cost time, not money.

What such a model says depends, in its last digits, on what it was asked together with. So a reply
is kept with the plan in which it was computed, and is found again by that plan alone: the bytes of
an output are the same whatever other outputs have computed, and wherever a run was killed.
"""

import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from hashlib import sha256
from os import path as paths
from pathlib import Path
from typing import NamedTuple

import orjson

from prism_cli.errors import DamagedFileError
from prism_cli.ports import Reply, Request
from prism_cli.shards.clock import now_ms
from prism_cli.shards.ledger import SpendingFile

_LOOKUP_KEYS = 500
_NAME_CHARACTERS = 60
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


class Kept(NamedTuple):
    """A reply as it is kept: `value` is a JSON object as bytes."""

    value: bytes
    refusal: str | None

    @property
    def reply(self) -> Reply:
        """The same, read."""
        return Reply(orjson.loads(self.value), self.refusal)


class LocalLedger(SpendingFile):
    """One sqlite file. One thread at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, dict[bytes, Kept]]:
        """What is here, by plan and key."""
        found: dict[bytes, dict[bytes, Kept]] = {}
        with self._guarded():
            for start in range(0, len(keys), _LOOKUP_KEYS):
                part = keys[start : start + _LOOKUP_KEYS]
                for key, plan, value, refusal in self._db.execute(
                    "SELECT key, plan, value, refusal FROM replies "
                    f"WHERE key IN ({','.join('?' * len(part))})",
                    part,
                ):
                    found.setdefault(plan, {})[key] = Kept(value, refusal)
        return found

    def commit(
        self, stage: str, output: str, plan: bytes, answered: Sequence[tuple[Request, Reply]]
    ) -> None:
        """Keep replies that were computed in `plan`, durably and all at once."""
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
        """Forget all replies; what was spent stays."""
        with self._transaction():
            self._db.execute("DELETE FROM replies")


def open_local_ledger(path: Path) -> LocalLedger:
    """The ledger at `path`, made if absent; a damaged one is begun anew, as it cost nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return LocalLedger(path)
    except DamagedFileError as error:
        print(f"prism: {error}; its replies are computed again", file=sys.stderr)
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").unlink()
        return LocalLedger(path)


def clear_local_ledger(path: Path) -> None:
    """Forget the replies at `path`, if there is a ledger."""
    if path.is_file():
        with closing(open_local_ledger(path)) as ledger:
            ledger.clear()


def local_ledger_path(state: Path, output: Path) -> Path:
    """Where, in the state directory `state`, the local replies of `output` are kept; nothing is
    made. It stays theirs when both are moved together."""
    place = paths.relpath(output.resolve(), state.resolve())
    digest = sha256(place.encode(errors="surrogateescape")).hexdigest()[:16]
    return state / "local" / f"{output.name[:_NAME_CHARACTERS]}-{digest}.sqlite"
