"""Heartbeat of a run: a small record of its progress beside its lock, rewritten while it works, for
`prism status` in another terminal.

The record is a convenience: errors in writing it never reach the run, nothing is synced, and it is
removed when the output is finished. A stopped or killed run leaves its last one.
"""

import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from prism_cli.errors import LockedError
from prism_cli.shards.file_age import EVERY_SECONDS, STALE_SECONDS, seconds_since_change
from prism_cli.shards.file_creation import create_file, new_attempt
from prism_cli.shards.timestamps import now_ms
from prism_cli.shards.writer import part_path

_FIRST_SECONDS = 0.5
"""Interval of the first records, which are more frequent."""
_RATE_RECORDS = 13
"""Records over which the rate is computed: replies from the ledger come first, and fast."""


class RowRate:
    """Rows a second over the last records of a process, also of those of earlier outputs; over ten
    times as many while no row moves, as when all rows of an output end together."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=10 * _RATE_RECORDS)
        self._ended = 0.0
        self._rows = 0.0

    def begin(self) -> None:
        """Begin another output."""
        self._ended += self._rows
        self._rows = 0.0

    def of(self, rows: float) -> float:
        """Note the rows of the current output so far; return the rate."""
        if rows < self._rows:  # rows turned out to be cached
            self._samples.clear()
        self._rows = rows
        self._samples.append((time.monotonic(), self._ended + rows))
        return self._over(_RATE_RECORDS) or self._over(len(self._samples))

    def _over(self, records: int) -> float:
        (then, before), (at, now) = (
            self._samples[max(-records, -len(self._samples))],
            self._samples[-1],
        )
        return max(0.0, (now - before) / (at - then)) if at > then else 0.0


_began: dict[Path, float] = {}
"""Time when this process began to work on an output, by heartbeat file."""


class Heartbeat:
    """Writes the heartbeat of one output during a block, from another thread.

    Args:
        record_path: path from which the names of manifest and lock are made.
        read: returns the current progress as plain JSON; called from the thread. The rate is that
            of `moved`, a count of rows, less `found`, the cached ones.
        rate: that of the process, which works one output after another; a new one by default.
        fixed: constant entries.
    """

    def __init__(
        self,
        record_path: Path,
        read: Callable[[], dict[str, Any]],
        rate: RowRate | None = None,
        **fixed: object,
    ) -> None:
        self._path = heartbeat_path(record_path)
        self._read = read
        self._fixed = {
            **fixed,
            "pid": os.getpid(),
            "host": platform.node(),
            "started_ms": now_ms(),
        }
        self._began = _began.setdefault(self._path, time.monotonic())
        self._rate = rate or RowRate()
        self._rate.begin()
        self._moved: tuple[float, int] = (-1.0, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._write()

    def _renew(self) -> None:
        wait = _FIRST_SECONDS
        while not self._ended.wait(wait):
            self._write()
            wait = min(2 * wait, EVERY_SECONDS)

    def _write(self) -> None:
        now = self._read()
        if now["moved"] != self._moved[0]:
            self._moved = (now["moved"], now_ms())
        content = {
            **self._fixed,
            **now,
            "updated_ms": now_ms(),
            "moved_ms": self._moved[1],
            "ended": self._ended.is_set(),
            "rows_per_second": round(self._rate.of(now["moved"] - now.get("found", 0)), 9),
            "seconds": round(time.monotonic() - self._began, 3),
        }
        part = part_path(self._path, new_attempt())
        with suppress(OSError):  # whether a full disk stops the run is not decided here
            try:
                with os.fdopen(create_file(part, private=True), "wb") as file:
                    file.write(orjson.dumps(content))
                part.replace(self._path)
            finally:
                part.unlink(missing_ok=True)


def remove_heartbeat(record_path: Path) -> None:
    """Remove the heartbeat of a finished output."""
    with suppress(OSError):
        heartbeat_path(record_path).unlink(missing_ok=True)


def heartbeat_path(record_path: Path) -> Path:
    """Return .OUT.progress.json, beside .OUT.lock."""
    return record_path.with_name(f".{record_path.name}.progress.json")


def read_heartbeat(record_path: Path) -> dict[str, Any] | None:
    """Return the record; None if it is absent, unreadable or not written by prism."""
    try:
        content = orjson.loads(heartbeat_path(record_path).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(content, dict) or not content.keys() >= _REQUIRED:
        return None
    return content if all(_is_valid(*item) for item in content.items()) else None


def refuse_claimed(record_path: Path) -> None:
    """Refuse an output on which another process works, as its heartbeat shows, where the lock may
    not.

    Times are compared on the file system's own clock, which all machines share.

    Raises:
        LockedError: the heartbeat of another process is recent.
    """
    record = read_heartbeat(record_path)
    if record is None or record["ended"]:
        return
    here = record["host"] == platform.node()
    if here and (record["pid"] == os.getpid() or not is_alive(record["pid"])):
        return
    age = None
    with suppress(OSError):
        age = seconds_since_change(heartbeat_path(record_path))
    if age is not None and age < STALE_SECONDS:
        raise LockedError(
            f"{record_path}: process {record['pid']} of {record['host']} works on this output"
        )


def is_alive(process: int) -> bool:
    """Return whether a process of this machine exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def take_killed_seconds(record_path: Path) -> float | None:
    """Return the seconds that the last attempt worked if it was killed, else None; remove its
    record, since a new attempt begins."""
    record = read_heartbeat(record_path) or {"ended": True}
    _began.pop(heartbeat_path(record_path), None)
    remove_heartbeat(record_path)
    return None if record["ended"] else worked_seconds(record)


def worked_seconds(record: Mapping[str, Any]) -> float:
    """Return the seconds that an attempt had worked when its record was written."""
    if "seconds" in record:
        return float(record["seconds"])
    updated = record["updated_ms"]
    return float(max(0, updated - record.get("started_ms", updated))) / 1000


_NUMBERS = {
    "total", "through", "answered", "moved", "found", "asked", "rows_per_second", "seconds",
    "attempts", "job", "jobs", "in_flight",
}  # fmt: skip
"""`through`: rows that have ended; `moved`: those, plus the finished fractions of rows in
progress; `found`: the part of `moved` whose replies were cached; `in_flight`: most calls at a
time."""
_INTEGERS = {"updated_ms", "started_ms", "moved_ms"}
_TEXTS = {"label", "stage", "host", "ledger"}
_REQUIRED = {"pid", "host", "updated_ms", "ended", "moved"}
_QUESTIONS = {"answered", "total", "found"}


def _is_valid(name: str, value: Any) -> bool:
    """Return whether prism may have written this entry."""
    if name in _NUMBERS:
        return value is None if name == "total" and value is None else _is_count(value)
    if name == "pid":
        return isinstance(value, int) and 0 < value < 2**31
    if name in _INTEGERS:
        return _is_count(value) and isinstance(value, int) and value < 2**53
    if name in _TEXTS:
        return isinstance(value, str)
    if name == "ended":
        return isinstance(value, bool)
    if name == "pending_reasons":
        return _are_counts(value)
    if name == "learning":
        return _are_counts(value) and value.keys() == {"through", "total"}
    if name == "counts":
        return isinstance(value, dict) and all(
            _are_counts(count) if key == "dropped" else _is_count(count)
            for key, count in value.items()
        )
    if name == "nouns":
        return isinstance(value, list) and [*map(type, value)] == [str, str]
    if name == "questions":
        return value is None or (
            isinstance(value, dict)
            and value.keys() == _QUESTIONS
            and all(count is None or _is_count(count) for count in value.values())
        )
    return True


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**63
