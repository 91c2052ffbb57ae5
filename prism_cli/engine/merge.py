"""Merge of exports and ledgers into one ledger: streamed, and safe to interrupt anywhere."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prism_cli.engine.control import Control
from prism_cli.engine.crash import crash_point
from prism_cli.engine.output_files import SideFile, side_path
from prism_cli.engine.rejects import too_many_rejects
from prism_cli.errors import REJECTS_EXIT_CODE, RowError
from prism_cli.rows.decode import decode_row, set_aside
from prism_cli.rows.row import Rejected, RowRef
from prism_cli.shards.ledger import Ledger, Merged
from prism_cli.shards.ledger_file import (
    Entry,
    LedgerFile,
    checked_entry,
    is_ledger_file,
    read_entry,
)
from prism_cli.shards.lock import output_lock
from prism_cli.shards.reader import Shard, find_shards

_GROUP_ROWS = 2000
_GROUP_BYTES = 16 << 20
"""Approximate limits of one transaction."""


@dataclass
class MergeSummary:
    """Summary of a merge.

    Attributes:
        rows: entries read.
        rejects: file of rejected entries, if there are any.
    """

    into: str
    max_rejects: float
    rows: int = 0
    rejected: int = 0
    rejects: str | None = None
    merged: Merged = field(default_factory=Merged)

    @property
    def exit_code(self) -> int:
        """4 if too many entries were rejected, else 0."""
        too_many = too_many_rejects(self.rejected, self.rows, self.max_rejects)
        return REJECTS_EXIT_CODE if too_many else 0

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        counts = asdict(self)
        counts |= counts.pop("merged")
        return {**counts, "exit_code": self.exit_code}


def merge_ledgers(files: Sequence[str], into: Path, *, max_rejects: float) -> MergeSummary:
    """Add the replies of `files` to the ledger at `into`, which is created if absent.

    Args:
        files: exports (JSONL, packed too) and ledger files; globs and directories of exports.
        max_rejects: share of entries, 0 to 1, above which the exit code is 4.

    Raises:
        MissingDataError: a file does not exist, or is not a ledger.
        InterruptedRunError, LockedError, StorageError: entries merged so far are kept.
    """
    control = Control()
    summary = MergeSummary(str(into), max_rejects)
    with ExitStack() as stack:
        stack.enter_context(control.handle_signals())
        shards = find_shards(files)
        stack.enter_context(output_lock(into))
        ledger = Ledger(into)
        stack.callback(ledger.close)
        rejects = SideFile(side_path(into, "rejects"))
        stack.callback(rejects.discard)
        group: list[Entry] = []
        size = 0
        for entry in (entry for shard in shards for entry in _entries(shard)):
            summary.rows += 1
            if isinstance(entry, Rejected):
                summary.rejected += 1
                rejects.write(entry.line)
                continue
            group.append(entry)
            size += len(entry.value)
            if len(group) == _GROUP_ROWS or size >= _GROUP_BYTES:
                control.check()
                _commit(ledger, group, summary.merged)
                group, size = [], 0
        _commit(ledger, group, summary.merged)
        rejects.finish()
        rejects.publish()
    summary.rejects = str(rejects.path) if rejects.used else None
    return summary


def _commit(ledger: Ledger, group: Sequence[Entry], counts: Merged) -> None:
    crash_point("before-commit")
    ledger.merge(group, counts)
    crash_point("after-commit")


def _entries(shard: Shard) -> Iterator[Entry | Rejected]:
    if is_ledger_file(shard.path):
        for number, entry in enumerate(LedgerFile(shard.path).entries(), 1):
            try:
                yield checked_entry(entry)
            except RowError as error:
                raw = repr(entry).encode()
                yield Rejected(RowRef(shard.name, number), error.field, error.reason, raw)
        return
    for number, raw in enumerate(shard.lines(), 1):
        if raw.strip():
            try:
                yield read_entry(decode_row(raw))
            except RowError as error:
                outcome = set_aside(RowRef(shard.name, number), raw, error)
                if isinstance(outcome, Rejected):
                    yield outcome
