"""Check that the ledger has the replies that were paid for, before they are paid for again.

A ledger that is missing or empty looks like a new one. Manifests and heartbeats of earlier attempts
show that it is not.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from prism_cli.engine.batch.store import STORE_NAME, known_submissions
from prism_cli.engine.heartbeat import read_heartbeat
from prism_cli.errors import LostRepliesError
from prism_cli.shards.file_creation import refuse_link
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.ledger_damage import damaged_ledger
from prism_cli.shards.ledger_file import LedgerFile
from prism_cli.shards.manifest import MANIFEST_SUFFIX, manifest_path, read_manifest
from prism_cli.shards.run_record import output_id


def check_paid_replies(output: Path, ledger: Path, *, accept_lost: bool) -> None:
    """Raise if `ledger` lacks replies that earlier attempts at `output` asked for.

    Args:
        output: path from which the names of manifest and heartbeat are made.
        accept_lost: do not raise for lost replies.

    Raises:
        LostRepliesError: replies are lost and would be asked and paid for again.
        DamagedFileError: the ledger or the batch store is damaged.
    """
    refuse_link(ledger)
    if accept_lost:
        return _forget_lost_batches(ledger)
    manifest = read_manifest(manifest_path(output)) or {}
    paid = _paid(output, manifest)
    if not ledger.is_file():
        if paid:
            raise _refusal(output, paid, f"{ledger} is not there")
        return
    if not ledger.stat().st_size:
        for other, count in _paid_beside(output):
            raise _refusal(other, count, f"{ledger} is empty")
        return
    file = LedgerFile(ledger)
    if damage := file.damage():
        raise damaged_ledger(ledger, damage)
    if lost := _lost_batches(file):
        raise LostRepliesError(
            f"{ledger.with_name(STORE_NAME)}: is missing, empty or older than the ledger: it lacks "
            f"{len(lost):,} batches that were sent, whose questions would be sent, and paid for, "
            "again, so nothing is asked. Restore it with its -wal file, or look at the provider "
            "that no batch is on its way; --accept-lost-replies goes on without them"
        )
    if not paid:
        return
    if not file.has_replies():
        raise _refusal(output, paid, f"{ledger} holds none")
    if manifest:
        # A moved output counts none, although its replies are there.
        for row in file.spent(output_id(output, manifest["config_fingerprint"])):
            if row["asked"] < paid:
                raise _refusal(output, paid, f"{ledger} counts only {row['asked']:,} of them")


def killed_calls(output: Path) -> int:
    """Return the number of calls that were in flight when the last attempt at `output` was killed,
    at most; 0 if it was not."""
    record = read_heartbeat(output) or {"ended": True}
    return 0 if record["ended"] else int(record.get("in_flight", 0))


def _forget_lost_batches(ledger: Path) -> None:
    """Remove from the ledger the submissions that the batch store has lost."""
    if ledger.is_file() and ledger.stat().st_size and (lost := _lost_batches(LedgerFile(ledger))):
        with closing(Ledger(ledger)) as file:
            file.forget_sent(lost)


def _lost_batches(file: LedgerFile) -> set[str]:
    sent = file.sent()
    return sent - known_submissions(file.path.with_name(STORE_NAME)) if sent else sent


def _paid(output: Path, manifest: Mapping[str, Any]) -> int:
    """Return the replies of servers that all attempts recorded."""
    usage = manifest.get("usage") or {}
    counts = [usage.get("asked", 0) - usage.get("local", 0)]
    counts.append((read_heartbeat(output) or {}).get("asked", 0))
    return max(int(count) for count in counts if isinstance(count, int | float))


def _paid_beside(output: Path) -> Iterator[tuple[Path, int]]:
    names = {output.name} | {
        path.name.removesuffix(MANIFEST_SUFFIX)
        for path in output.parent.glob(f"*{MANIFEST_SUFFIX}")
    }
    for name in sorted(names):
        path = output.with_name(name)
        count = _paid(path, read_manifest(manifest_path(path)) or {})
        if count:
            yield path, count


def _refusal(output: Path, paid: int, reason: str) -> LostRepliesError:
    return LostRepliesError(
        f"{output}: earlier attempts asked for {paid:,} replies, and {reason}: they would be "
        "asked, and paid for, again, so nothing is asked. Restore the ledger with its -wal file, "
        "or set PRISM_STATE to its folder; `prism ledger repair` copies those of a damaged one; "
        "--reuse OUT takes those of finished outputs; --accept-lost-replies goes on without them"
    )
