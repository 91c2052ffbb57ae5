"""Readable replies of a damaged ledger."""

from pathlib import Path

from prism_cli.errors import DamagedFileError, RowError
from prism_cli.shards.durable import REPAIR_HINT
from prism_cli.shards.ledger_file import Entry, checked_entry, checksum
from prism_cli.shards.salvage import Salvage, Value

_COUNTED_BYTES = 256 << 20
"""Size of a file above which the message gives no count."""


def damaged_ledger(path: Path, reason: str) -> DamagedFileError:
    """Return the error for a damaged ledger, which reports the replies that can be read."""
    left = ""
    if path.stat().st_size <= _COUNTED_BYTES:
        entries = filter(None, map(reply_of, Salvage(path).records()))
        costs = {entry.key: entry.usd for entry in entries}
        usd = sum(costs.values())
        left = f"; about {len(costs):,} replies, which cost {usd:.4f} USD, can still be read"
    return DamagedFileError(
        f"{path}: damaged ({reason}){left}. No more requests are sent. {REPAIR_HINT.format(path)}; "
        "--reuse OUT reuses what finished outputs hold"
    )


def reply_of(record: list[Value]) -> Entry | None:
    """Return the reply in a record; None for other records and for a reply that has changed."""
    missing = len(Entry._fields) - len(record)
    if missing > 1 or len(record) > len(Entry._fields) + 1:
        return None
    columns = list(record)
    if missing == 1:  # of a version that had no sequence
        columns.append(columns[-1])
    stored = columns.pop() if len(columns) > len(Entry._fields) else None
    try:
        entry = checked_entry(Entry(*columns))  # type: ignore[arg-type]
    except (RowError, TypeError, AttributeError):
        return None
    entry = entry._replace(value=record[1])  # type: ignore[arg-type]
    unchanged = stored is None or stored == checksum(entry.key, entry.value, entry.refusal)
    return entry if unchanged else None
