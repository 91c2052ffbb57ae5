"""Repair of a damaged ledger: readable replies are copied to a new one. Nothing is deleted."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prism_cli.errors import LockedError, MissingDataError
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.ledger_damage import reply_of
from prism_cli.shards.ledger_file import Entry, LedgerFile
from prism_cli.shards.lock import output_lock
from prism_cli.shards.request_locks import in_use
from prism_cli.shards.salvage import Salvage, Value
from prism_cli.shards.spending_file import Spent
from prism_cli.shards.writer import sync_directory

_GROUP_ROWS = 2000
_ASIDE = ".damaged-"
_BESIDE = ("", "-wal", "-shm")
_OLDEST_COLUMNS = len(Entry._fields) - 1
_INTENT_DIGITS = 32
_SPENT_COLUMNS = (5, 6)
_FIRST_SHARED, _SHARED_BYTES = 0x40000002, 510
"""Place of SQLite's shared locks in a file: https://www.sqlite.org/fileformat2.html#the_lock_byte_page"""


@dataclass
class RepairResult:
    """Result of a repair.

    Attributes:
        replies, refusals: in the ledger now.
        usd: their cost.
        asked: replies that the outputs count, as far as their usage can be read.
        lost: estimate of the replies that cannot be read.
        aside: new place of the damaged file; None if nothing was damaged.
    """

    path: str
    replies: int = 0
    refusals: int = 0
    usd: float = 0.0
    asked: int = 0
    lost: int = 0
    aside: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of `--json`."""
        return asdict(self)


def repair_ledger(path: Path) -> RepairResult:
    """Copy what can be read to a new ledger, and move the damaged file aside.

    Args:
        path: the ledger; if it is missing or empty, the file that was moved aside last is repaired.

    Raises:
        MissingDataError: there is no file to read.
        LockedError: a run uses the ledger.
    """
    with output_lock(path):
        _refuse_in_use(path)
        _finish_moving(path)
        source = path if _size(path) else _newest_aside(path)
        if source is None:
            raise MissingDataError(
                f"{path}: no ledger, or an empty one, and none was moved aside: there is nothing "
                "to copy. --reuse OUT reuses what outputs hold; --accept-lost-replies starts "
                "a new ledger, and pays again"
            )
        if source == path and LedgerFile(path).is_whole() and not _holds_more(path):
            return _counted(path)
        new = path.with_name(path.name + ".repair")
        for end in _BESIDE:
            Path(f"{new}{end}").unlink(missing_ok=True)
        lost = _copy(source, new)
        _refuse_in_use(path)
        done = _counted(new)
        done.path, done.lost = str(path), lost
        done.aside = str(_move_aside(path) if path.exists() else source)
        new.replace(path)
        for end in _BESIDE[1:]:  # empty files of the copy's readers
            Path(f"{new}{end}").unlink(missing_ok=True)
        sync_directory(path.parent)
    return done


def _refuse_in_use(path: Path) -> None:
    """Raise LockedError if another process sends requests or has the ledger open.

    A connection holds a shared lock until it is closed, in the mode of local file systems.
    """
    if in_use(path.with_suffix(".claims")) or in_use(path, _SHARED_BYTES, _FIRST_SHARED):
        raise LockedError(f"{path}: a run uses it; repair the ledger when that run has ended")


def _holds_more(path: Path) -> bool:
    """Return whether there are replies that SQLite does not see: it ignores the part of its log
    behind a damaged frame, and reports no damage."""
    salvaged = {entry.key for entry in map(reply_of, Salvage(path).records()) if entry is not None}
    # After it: a run that began meanwhile commits more.
    return not salvaged <= {entry.key for entry in LedgerFile(path).entries()}


def _copy(source: Path, target: Path) -> int:
    """Fill the ledger at `target`; return the number of lost replies."""
    ledger = Ledger(target)
    try:
        salvage, group, bad = Salvage(source), list[Entry](), 0
        for record in salvage.records():
            entry, spent = reply_of(record), _spent(record)
            if entry is not None:
                group.append(entry)
            elif spent is not None:
                ledger.restore([], spent)
            elif _is_intent(record):
                ledger.note_sent(map(str, record))
            elif len(record) >= _OLDEST_COLUMNS and isinstance(record[0], bytes):
                bad += 1
            if len(group) == _GROUP_ROWS:
                ledger.restore(group)
                group = []
        ledger.restore(group)
    finally:
        ledger.close()
    return bad + salvage.lost


def _is_intent(record: list[Value]) -> bool:
    """Return whether a record names a submitted batch."""
    return len(record) == 1 and isinstance(record[0], str) and len(record[0]) == _INTENT_DIGITS


def _spent(record: list[Value]) -> Spent | None:
    """Return the usage of an output that a record holds; None for other records."""
    if len(record) not in _SPENT_COLUMNS or not isinstance(record[0], str):
        return None
    output, numbers = record[0], record[1:]
    if "#" not in output or not all(isinstance(number, int | float) for number in numbers):
        return None
    if len(numbers) < len(Spent._fields) - 1:
        numbers.append(0)
    return Spent(output, *numbers)  # type: ignore[arg-type]


def _counted(path: Path) -> RepairResult:
    file, done = LedgerFile(path), RepairResult(str(path))
    for row in file.models():
        done.replies += row["replies"]
        done.refusals += row["refusals"]
        done.usd += row["usd"]
    done.asked = sum(row["asked"] for row in file.spent())
    return done


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _asides(path: Path) -> Iterator[tuple[int, Path]]:
    for aside in path.parent.glob(f"{path.name}{_ASIDE}*"):
        number = aside.name.removeprefix(f"{path.name}{_ASIDE}")
        if number.isdigit():
            yield int(number), aside


def _newest_aside(path: Path) -> Path | None:
    return max(_asides(path), default=(0, None))[1]


def _move_aside(path: Path) -> Path:
    number = max(_asides(path), default=(0, path))[0] + 1
    aside = path.with_name(f"{path.name}{_ASIDE}{number}")
    os.replace(path, aside)
    _finish_moving(path)
    return aside


def _finish_moving(path: Path) -> None:
    """Move the log of the file that was moved aside last to it, also after a kill."""
    aside = _newest_aside(path)
    if aside is not None and not path.exists():
        for end in _BESIDE[1:]:
            if os.path.exists(f"{path}{end}"):
                os.replace(f"{path}{end}", f"{aside}{end}")
