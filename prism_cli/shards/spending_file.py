"""SQLite file of replies that also counts what each output cost."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from prism_cli.ports import Reply
from prism_cli.shards.durable import DurableFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    output TEXT PRIMARY KEY,
    asked INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    usd REAL NOT NULL,
    lost_calls INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_SPEND = """
INSERT INTO spent VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (output) DO UPDATE SET
    asked = asked + excluded.asked,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    usd = usd + excluded.usd,
    lost_calls = lost_calls + excluded.lost_calls
"""
_SPENT = ("asked", "input_tokens", "output_tokens", "usd", "lost_calls")
_RESTORE_SPENT = (
    "INSERT INTO spent VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (output) DO UPDATE SET "
    + ", ".join(f"{name} = max({name}, excluded.{name})" for name in _SPENT)
)


class Spent(NamedTuple):
    """Usage of one output, over all commits."""

    output: str
    asked: int
    input_tokens: int
    output_tokens: int
    usd: float
    lost_calls: int


class SpendingFile(DurableFile):
    """File of replies with their usage by output."""

    def __init__(self, path: Path, schema: str) -> None:
        super().__init__(path, schema + _SCHEMA)

    def spent(self, output: str) -> dict[str, float]:
        """Return asked, input_tokens, output_tokens, usd and lost_calls of `output`."""
        with self._guarded():
            row = self._db.execute(
                f"SELECT {', '.join(_SPENT)} FROM spent WHERE output = ?", (output,)
            ).fetchone()
        return dict(zip(_SPENT, row or (0, 0, 0, 0.0, 0), strict=True))

    def _spend(self, output: str, replies: Iterable[Reply]) -> None:
        """Add the usage of `replies`; in a transaction."""
        usages = [reply.usage for reply in replies]
        sums = (
            len(usages),
            sum(usage.input_tokens for usage in usages),
            sum(usage.output_tokens for usage in usages),
            sum(usage.usd for usage in usages),
            0,
        )
        self._db.execute(_SPEND, (output, *sums))

    def add_lost_calls(self, output: str, count: int) -> None:
        """Add calls of `output` that ended without a reply and may have been billed."""
        with self._guarded():
            self._db.execute(_SPEND, (output, 0, 0, 0, 0.0, count))

    def _restore_spent(self, spent: Iterable[Spent]) -> None:
        """Store the usage of a damaged file; the largest counts. In a transaction."""
        self._db.executemany(_RESTORE_SPENT, spent)
