"""Claims of outputs in object stores: `.OUT.claim`, an object that a run creates beside the output
and renews while it works. So runs on machines that share nothing but the store exclude each other.

A claim that is not renewed is taken over, by a write under the condition that it has not changed.
Its age is that of the store's clock.
"""

import os
import platform
import threading
import time
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Any

import orjson

from prism_cli.errors import (
    LockedError,
    MissingDataError,
    OtherCommandError,
    PrerequisiteError,
    PrismError,
    StorageError,
)
from prism_cli.files.urls import ObjectName, StagedPath
from prism_cli.shards.file_creation import new_attempt
from prism_cli.shards.remote.requests import OtherState
from prism_cli.shards.remote.store import ObjectState, delete, object_state, put, read_blocks
from prism_cli.shards.state import is_network_file_system
from prism_cli.shards.timestamps import now_ms
from prism_cli.shards.writer import whole_file

EVERY_SECONDS = 15.0
STALE_SECONDS = 4 * EVERY_SECONDS
"""Age of the claim of a process that is gone."""
_PROBE = ".prism-probe"
_TRIES = 5
"""Tries against others that write and remove the same object."""
_STARTED_MS = now_ms()
"""When this process began: of two commands that make different outputs, the later one stops."""
_ENDED = b'{"ended":true}'
"""Content of a claim that could not be removed."""


class Claim:
    """Holds the claim of an output during a block.

    Args:
        record_path: path from which the claim is named. The caller holds its lock, so that a claim
            from this state directory is that of a killed run.
        command: identity of what makes the output.

    Raises:
        LockedError: another run holds the claim.
        OtherCommandError: it makes other outputs, and began earlier.
        StorageError, PrerequisiteError: the store fails or refuses.
    """

    def __init__(self, record_path: StagedPath, command: str = "") -> None:
        self._command = command
        self._output = record_path
        path = record_path.with_name(f".{record_path.name}.claim")
        self._local, self._name = path, path.object_name
        self._token = new_attempt()
        self._count = 0
        self._lost = False
        self._renewed_at = 0.0
        self._state = ObjectState(0, "")
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)

    def __enter__(self) -> "Claim":
        earlier = ""
        if not is_network_file_system(self._local.parent):  # where a lock may not hold
            with suppress(FileNotFoundError):
                earlier = self._local.read_text()
        with whole_file(self._local) as file:
            file.write(self._token.encode())
        self._renewed_at = time.monotonic()
        self._state = self._take(earlier)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if not self._lock.acquire(timeout=1) or self._lost:
            return  # a store that fails: the claim becomes stale
        with suppress(PrismError, OtherState):  # a stop, too
            self._release()

    def check(self, *, now: bool = False) -> None:
        """Make sure that the claim is held.

        Args:
            now: renew it, also if that was done a short time ago.

        Raises:
            LockedError: another run has taken it over.
            StorageError, PrerequisiteError: the store fails or refuses.
        """
        age = time.monotonic() - self._renewed_at
        if not self._lost and (now or age > STALE_SECONDS / 2):
            with self._lock:
                self._write(once=False)
        self.raise_if_lost()

    def raise_if_lost(self) -> None:
        """Raise LockedError if a renewal found that another run has taken the claim over."""
        if self._lost:
            raise LockedError(
                f"{self._output}: another run has taken over this output, since this one was not "
                f"heard of for {STALE_SECONDS:.0f} s; this one ends without a manifest. The "
                "replies so far are kept: run the same command again"
            )

    def _take(self, earlier: str) -> ObjectState:
        for _ in range(_TRIES):
            with suppress(OtherState):
                return put(self._name, self._content(), None)
            if (state := object_state(self._name)) is None:
                continue
            content = self._read(state)
            if content is None:
                continue
            if content.get("token") == self._token:
                return state  # the reply to an earlier request was lost
            of_killed = earlier and content.get("token") == earlier
            if not (content.get("ended") or of_killed):
                age = time.monotonic() + store_clock(self._folder) - state.changed_ns / 1e9
                if age < STALE_SECONDS:
                    self._refuse(content, age)
            with suppress(OtherState):
                return put(self._name, self._content(), state)
        raise LockedError(f"{self._output}: other runs are beginning on this output")

    def _refuse(self, content: dict[str, Any], age: float) -> None:
        other = content.get("command") not in (None, "", self._command)
        if other and content.get("started_ms", 0) <= _STARTED_MS:
            raise OtherCommandError(self._name, content.get("pid"), content.get("host"))
        left = max(1, STALE_SECONDS - age)
        raise LockedError(
            f"{self._output}: process {content.get('pid', '?')} of {content.get('host', '?')} "
            f"works on this output, as {self._name} says. This one stops without touching it. If "
            f"that process was killed, the same command works in {left:.0f} s"
        )

    def _renew(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            with self._lock:
                if self._ended.is_set() or self._lost:
                    return
                # What fails is tried again later, and by `check`.
                with suppress(PrismError):
                    self._write(once=True)

    def _write(self, *, once: bool) -> None:
        """Renew the claim; note if it is lost."""
        began = time.monotonic()
        try:
            self._state = put(self._name, self._content(), self._state, once=once)
        except OtherState:
            state = object_state(self._name)
            content = self._read(state) if state else None
            if state is None or content is None or content.get("token") != self._token:
                self._lost = True
                return
            self._state = state  # the reply to an earlier request was lost
        self._renewed_at = began

    def _release(self) -> None:
        state = object_state(self._name)
        if state is None or state.etag != self._state.etag:
            return
        try:
            delete(self._name)
        except PrerequisiteError:  # without the right to delete
            put(self._name, _ENDED, self._state)

    def _read(self, state: ObjectState) -> dict[str, Any] | None:
        """Return what a claim says; None if it has changed meanwhile."""
        try:
            content = orjson.loads(b"".join(read_blocks(self._name, state)))
        except OtherState:
            return None
        except orjson.JSONDecodeError:
            content = {}
        return content if isinstance(content, dict) else {}

    def _content(self) -> bytes:
        self._count += 1  # a new etag
        return orjson.dumps(
            {
                "token": self._token,
                "host": platform.node(),
                "pid": os.getpid(),
                "renewed": self._count,
                "command": self._command,
                "started_ms": _STARTED_MS,
            }
        )

    @property
    def _folder(self) -> ObjectName:
        return self._name._replace(key=self._name.key.rpartition("/")[0])


@cache
def store_clock(folder: ObjectName) -> float:
    """Return the store's time (seconds since the epoch) less `time.monotonic()`. Asked once, by an
    object that is written in the folder and removed: so a right that is missing is told before the
    work.

    Raises:
        StorageError: the store fails, or there is no such bucket.
        PrerequisiteError: it refuses the write.
    """
    probe = folder._replace(key=f"{folder.key}/{_PROBE}".lstrip("/"))
    for _ in range(_TRIES):
        try:
            put(probe, b"", "any")
            at = time.monotonic()
        except MissingDataError as error:
            raise StorageError(f"{error}. Create it, or name another output with -o") from None
        state = object_state(probe)
        with suppress(PrerequisiteError):  # the object stays, once a folder
            delete(probe)
        if state is not None:
            return state.changed_ns / 1e9 - at
    return time.time() - time.monotonic()  # other processes remove the probe at the same time
