"""Requests to object stores: repeated while the store fails for a time, stopped with the run."""

import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from prism_cli.errors import PrismError, StorageError
from prism_cli.files.urls import ObjectName
from prism_cli.shards.remote.refusals import (
    error_code,
    error_status,
    is_unreachable,
    refusal,
    unreachable,
    words,
)

RETRY_SECONDS = 300.0
"""Time after which a failing request is given up."""
CONNECT_SECONDS = 5.0
"""The same for the connection to a store that has not answered yet."""
NOTICE_SECONDS = 5.0
"""Time after which a line says that the store is waited for."""
_NOTICE_AGAIN_SECONDS = 30.0
_MAX_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.2
_T = TypeVar("_T")


class OtherState(Exception):
    """The object is not in the state that a request expects."""


class Cut(Exception):
    """A body that ended early."""


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_stops: list[tuple[Callable[[], None], Callable[[str], None]]] = []
_answered: set[tuple[str, str]] = set()
"""(scheme, bucket) of the stores that have answered this process."""


@contextmanager
def stoppable(check: Callable[[], None], notify: Callable[[str], None] = _print) -> Iterator[None]:
    """Call `check`, which raises to stop the run, during and between the requests of the block.

    Args:
        notify: shows a line about a store that is waited for.
    """
    _stops.append((check, notify))
    try:
        yield
    finally:
        _stops.pop()


def check_stop() -> None:
    """Raise if the run must stop."""
    if _stops:
        _stops[-1][0]()


def repeated(
    name: ObjectName,
    action: str,
    request: Callable[[], _T],
    *,
    once: bool = False,
    may_take_long: bool = False,
) -> _T:
    """Return what a request returns; repeat it while the store fails for a time.

    Args:
        action: "reading", "listing", "writing" or "deleting".
        once: raise StorageError at the first failure; print nothing.
        may_take_long: time alone is no sign that the store fails.

    Raises:
        FileNotFoundError: no such object.
        OtherState: the condition of the request does not hold.
        MissingDataError: no such bucket.
        PrerequisiteError: the store refuses, or cannot be reached with these settings.
        StorageError: it failed for RETRY_SECONDS.
    """
    from obstore import exceptions

    store = (name.scheme, name.bucket)
    notice = _Notice(name, action, "" if once or may_take_long else "does not answer")
    wait, tries = 0.2, 0
    while True:
        tries += 1
        try:
            found = _in_thread(request, notice.look)
            _answered.add(store)
            return found
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            if error_code(str(error)) != "ConditionalRequestConflict":
                raise OtherState("changed") from None
            failure: BaseException = error  # two writes at once: S3 asks for another try
        except FileNotFoundError as error:
            _answered.add(store)
            if error_code(str(error)) != "NoSuchBucket":
                raise
            failure = error
        except (exceptions.BaseError, Cut, OSError) as error:
            failure = error
        if refused := refusal(name, action, failure):
            raise refused from None
        if error_status(str(failure)):
            _answered.add(store)
        limit = RETRY_SECONDS
        if store not in _answered and is_unreachable(failure):
            limit = CONNECT_SECONDS
        if once or time.monotonic() + wait > notice.started + limit:
            if limit < RETRY_SECONDS:
                raise unreachable(name, failure) from None
            raise StorageError(
                f"{name}: the store failed {tries} time{'s' * (tries != 1)}: {words(failure)}. "
                "Nothing was published and the replies so far are kept; run the same command "
                "again when the store answers"
            ) from None
        notice.failure = f"fails ({words(failure)})"
        until = time.monotonic() + wait * random.uniform(0.5, 1)
        while (left := until - time.monotonic()) > 0:
            notice.look()
            time.sleep(min(left, _POLL_SECONDS))
        wait = min(2 * wait, _MAX_WAIT_SECONDS)


class _Notice:
    """Says that a store is waited for, first after NOTICE_SECONDS."""

    def __init__(self, name: ObjectName, action: str, failure: str) -> None:
        self.started = time.monotonic()
        self.failure = failure
        self._name, self._action = name, action
        self._next = self.started + NOTICE_SECONDS

    def look(self) -> None:
        """Print a line if it is time for one; raise if the run must stop."""
        check_stop()
        now = time.monotonic()
        if not self.failure or now < self._next:
            return
        self._next = now + _NOTICE_AGAIN_SECONDS
        left = max(0.0, self.started + RETRY_SECONDS - now)
        notify = _stops[-1][1] if _stops else _print
        notify(
            f"prism: {self._name}: the store {self.failure}; {self._action} is repeated for "
            f"{left:.0f} s at most, then the run stops and the same command goes on"
        )


def _in_thread(request: Callable[[], _T], look: Callable[[], None]) -> _T:
    """Return what a request returns; call `look` meanwhile. The client library lets no signal
    through while it waits."""
    from obstore import exceptions

    replies = queue.SimpleQueue[tuple[list[_T], Exception | None]]()

    def run() -> None:
        try:
            replies.put(([request()], None))
        except (exceptions.BaseError, Cut, OtherState, OSError, ValueError, PrismError) as error:
            replies.put(([], error))  # raised below, by the thread that waits

    thread = threading.Thread(target=run, name="store request", daemon=True)
    thread.start()
    while True:
        alive = thread.is_alive()
        try:
            reply, error = replies.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            assert alive, "the request's thread ended with an error of its own"
            look()
            continue
        if error:
            raise error
        return reply[0]
