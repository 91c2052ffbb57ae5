"""Replies that were paid for, and a ledger without them: said before they are paid for again.

A ledger that is missing or empty looks like a new one. What earlier attempts wrote beside their
outputs says that it is not.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prism_cli.engine.batch.store import STORE_NAME, known_submissions
from prism_cli.engine.heartbeat import read_heartbeat
from prism_cli.errors import LostRepliesError
from prism_cli.shards.creation import refuse_link
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.ledger_damage import damaged_ledger
from prism_cli.shards.ledger_file import LedgerFile
from prism_cli.shards.manifest import MANIFEST_SUFFIX, manifest_path, read_manifest
from prism_cli.shards.run_record import output_id


def check_paid_replies(output: Path, ledger: Path, *, accept_lost: bool) -> None:
    """Refuse to work on `output` where `ledger` lacks replies that it was made with.

    Args:
        output: whose name manifest and live record carry.
        accept_lost: go on all the same.

    Raises:
        LostRepliesError: they would be asked and paid for again.
        DamagedFileError: the ledger or the book of batches is damaged.
    """
    refuse_link(ledger)
    if accept_lost:
        return _forget_lost_batches(ledger)
    made = read_manifest(manifest_path(output)) or {}
    paid = _paid(output, made)
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
    if made:
        # None is counted where the output was moved: its replies are there all the same.
        for row in file.spent(output_id(output, made["config_fingerprint"])):
            if row["asked"] < paid:
                raise _refusal(output, paid, f"{ledger} counts only {row['asked']:,} of them")


def _forget_lost_batches(ledger: Path) -> None:
    """Expect batches that the book has lost no more."""
    if ledger.is_file() and ledger.stat().st_size and (lost := _lost_batches(LedgerFile(ledger))):
        file = Ledger(ledger)
        file.forget_sent(lost)
        file.close()


def _lost_batches(file: LedgerFile) -> set[str]:
    sent = file.sent()
    return sent - known_submissions(file.path.with_name(STORE_NAME)) if sent else sent


def _paid(output: Path, made: Mapping[str, Any]) -> int:
    """Replies that all attempts asked of servers, as far as they told."""
    usage = made.get("usage") or {}
    told = [usage.get("asked", 0) - usage.get("local", 0)]
    told.append((read_heartbeat(output) or {}).get("asked", 0))
    return max(int(one) for one in told if isinstance(one, int | float))


def _paid_beside(output: Path) -> Iterator[tuple[Path, int]]:
    names = {output.name} | {
        path.name.removesuffix(MANIFEST_SUFFIX)
        for path in output.parent.glob(f"*{MANIFEST_SUFFIX}")
    }
    for name in sorted(names):
        one = output.with_name(name)
        count = _paid(one, read_manifest(manifest_path(one)) or {})
        if count:
            yield one, count


def _refusal(output: Path, paid: int, why: str) -> LostRepliesError:
    return LostRepliesError(
        f"{output}: earlier attempts asked for {paid:,} replies, and {why}: they would be asked, "
        "and paid for, again, so nothing is asked. Restore the ledger with its -wal file, or set "
        "PRISM_STATE to its folder; `prism ledger repair` copies what a damaged one holds; "
        "--reuse OUT takes what finished outputs hold; --accept-lost-replies goes on without them"
    )
