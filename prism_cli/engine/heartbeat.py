"""How far a run is, for another terminal: a small record beside its lock, renewed while it works.

The record is a convenience: no error of its making reaches the run, nothing is synced, and it is
gone when the output is finished. What a stopped or killed run leaves says how far it came.
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

from prism_cli.shards.clock import now_ms
from prism_cli.shards.creation import create_file, new_attempt
from prism_cli.shards.writer import part_path

EVERY_SECONDS = 5.0
_FIRST_SECONDS = 0.5
"""The first records follow each other faster."""
_RATE_RECORDS = 13
"""The rate is that of the last so many records: replies from the ledger come first, and fast."""


_began: dict[Path, float] = {}
"""When this process began to work on an output, by its record."""


class Heartbeat:
    """Keeps the record of one output for a block, from a thread of its own.

    Args:
        record_path: the path whose name manifest and lock carry.
        read: what to tell now, as plain JSON; called from the thread. `moved`, a count of rows,
            is among it; the rate is taken from that, without `found` of them.
        fixed: what to tell besides, once and for all.
    """

    def __init__(
        self, record_path: Path, read: Callable[[], dict[str, Any]], **fixed: object
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
        self._seen: deque[tuple[float, float]] = deque(maxlen=_RATE_RECORDS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="live record", daemon=True)

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
        content = {
            **self._fixed,
            **now,
            "updated_ms": now_ms(),
            "ended": self._ended.is_set(),
            "rows_per_second": round(self._rate(now["moved"] - now.get("found", 0)), 9),
            "seconds": round(time.monotonic() - self._began, 3),
        }
        part = part_path(self._path, new_attempt())
        with suppress(OSError):  # a full disk stops the run, or does not: not for this
            try:
                with os.fdopen(create_file(part, private=True), "wb") as file:
                    file.write(orjson.dumps(content))
                part.replace(self._path)
            finally:
                part.unlink(missing_ok=True)

    def _rate(self, moved: float) -> float:
        if self._seen and moved < self._seen[-1][1]:  # found out what took no time
            self._seen.clear()
        self._seen.append((time.monotonic(), moved))
        (then, before), (at, now) = self._seen[0], self._seen[-1]
        return max(0.0, (now - before) / (at - then)) if at > then else 0.0


def remove_heartbeat(record_path: Path) -> None:
    """The output is finished; its manifest says all."""
    with suppress(OSError):
        heartbeat_path(record_path).unlink(missing_ok=True)


def heartbeat_path(record_path: Path) -> Path:
    """.OUT.progress.json, beside .OUT.lock."""
    return record_path.with_name(f".{record_path.name}.progress.json")


def read_heartbeat(record_path: Path) -> dict[str, Any] | None:
    """The record; None where there is none that can be read, or one that nobody here wrote."""
    try:
        content = orjson.loads(heartbeat_path(record_path).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    whole = isinstance(content, dict) and content.keys() >= _NEEDED
    return content if whole and all(_is_fit(*item) for item in content.items()) else None


def take_killed_seconds(record_path: Path) -> float:
    """How long the last attempt worked, if it was killed; a new attempt begins, and its record."""
    record = read_heartbeat(record_path) or {"ended": True}
    _began.pop(heartbeat_path(record_path), None)
    remove_heartbeat(record_path)
    return 0.0 if record["ended"] else worked_seconds(record)


def worked_seconds(record: Mapping[str, Any]) -> float:
    """How long the attempt of a record had worked when it was written."""
    if "seconds" in record:
        return float(record["seconds"])
    updated = record["updated_ms"]
    return float(max(0, updated - record.get("started_ms", updated))) / 1000


_NUMBERS = {
    "total", "through", "answered", "moved", "found", "asked", "rows_per_second", "seconds",
    "attempts", "job", "jobs",
}  # fmt: skip
_INTEGERS = {"updated_ms", "started_ms"}
_TEXTS = {"label", "stage", "host", "ledger"}
_NEEDED = {"pid", "host", "updated_ms", "ended", "moved"}
_QUESTIONS = {"answered", "total", "found"}


def _is_fit(name: str, value: Any) -> bool:
    """Whether a record of ours may hold this."""
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
    if name == "counts":
        return isinstance(value, dict) and all(
            _are_counts(one) if key == "dropped" else _is_count(one) for key, one in value.items()
        )
    if name == "nouns":
        return isinstance(value, list) and [*map(type, value)] == [str, str]
    if name == "questions":
        return value is None or (
            isinstance(value, dict)
            and value.keys() == _QUESTIONS
            and all(one is None or _is_count(one) for one in value.values())
        )
    return True


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**63
