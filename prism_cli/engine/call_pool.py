"""Concurrent calls to servers; each reply is committed before its slot is free again."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError, StorageError
from prism_cli.ports import CallBackend, Reply, Request
from prism_cli.shards.request_locks import RequestLocks

POLL_SECONDS = 0.2
"""Time until a signal is noticed while all calls are slow."""
CLAIM_SECONDS = 0.05
"""Interval of looking for a reply that another run is asking for."""

Answered = tuple[Request, Reply]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request without a reply so far, with the reason; its row stays pending."""

    reason: str


def by_backend(requests: Sequence[Request]) -> list[list[Request]]:
    """Group requests by backend, in their order."""
    groups: dict[int, list[Request]] = {}
    for request in requests:
        groups.setdefault(id(request.backend), []).append(request)
    return list(groups.values())


@dataclass(eq=False)
class CallsInFlight:
    """Number of calls in flight.

    Attributes:
        most: at a time, so far.
    """

    now: int = 0
    most: int = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        self.now -= 1


@dataclass(eq=False)
class _BackendQueue:
    """Waiting calls to one server, and the number of workers."""

    backend: CallBackend
    calls: deque[Sequence[Request]] = field(default_factory=deque)
    workers: int = 0


class CallPool:
    """Calls of one window, to all servers at once; at most `concurrency` in flight per server.

    Args:
        replies: receives the replies.
        down: reasons why backends, by id, cannot be used; they are not called again.
        commit: stores replies durably; runs in another thread, one commit at a time.
        locks: locks on requests in flight, so that of runs that share a ledger only one asks.
        in_batches: those of the requests that other runs have sent in batches meanwhile.
        find: returns replies that such a run has committed meanwhile.
        next_requests: called with answered requests, after their commit and never during another;
            returns single requests to ask next.
        in_flight: counts the calls.
    """

    def __init__(
        self,
        replies: dict[bytes, Reply | Unanswered],
        down: dict[int, str],
        commit: Callable[[Sequence[Answered]], None],
        control: Control,
        locks: RequestLocks,
        in_batches: Callable[[Sequence[bytes]], Mapping[bytes, Unanswered]],
        find: Callable[[Sequence[bytes]], Mapping[bytes, Reply]],
        next_requests: Callable[[Sequence[Request]], Sequence[Request]],
        in_flight: CallsInFlight,
    ) -> None:
        self._commit = commit
        self._control = control
        self._locks = locks
        self._in_batches = in_batches
        self._find = find
        self._next_requests = next_requests
        self._in_flight = in_flight
        self._replies = replies
        self._down = down
        self._queues: dict[int, _BackendQueue] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._arrived: dict[bytes, Answered] = {}
        self._commit_lock = asyncio.Lock()
        self._commit_in_progress: asyncio.Future[None] | None = None
        self._failed = False

    async def ask_all(self, requests: Sequence[Request]) -> None:
        """Ask the requests. When the run stops, wait for calls in flight for a grace period.

        Raises:
            StorageError: a commit failed; no further call was made.
        """
        for missing in by_backend(requests):
            queue = self._queue_of(missing[0])
            calls = queue.backend.plan([request.payload for request in missing])
            self._start(queue, [[missing[index] for index in call] for call in calls])
        errors: list[BaseException] = []
        stop_at = float("inf")
        while self._workers:
            done, _ = await asyncio.wait(self._workers, timeout=POLL_SECONDS)
            self._workers -= done
            errors += [
                error for worker in done if not worker.cancelled() and (error := worker.exception())
            ]
            self._failed = self._failed or bool(errors)
            if self._stopping and stop_at == float("inf"):
                stop_at = time.monotonic() + GRACE_SECONDS
            if time.monotonic() >= stop_at:
                for worker in self._workers:
                    worker.cancel()
        if errors:
            raise errors[0]
        if self._commit_in_progress is not None:
            await self._commit_in_progress
        self._commit(list(self._arrived.values()))  # their workers were cancelled

    @property
    def _stopping(self) -> bool:
        return self._failed or self._control.stopping

    def _queue_of(self, request: Request) -> _BackendQueue:
        assert isinstance(request.backend, CallBackend)
        return self._queues.setdefault(id(request.backend), _BackendQueue(request.backend))

    def _start(self, queue: _BackendQueue, calls: Sequence[Sequence[Request]]) -> None:
        queue.calls.extend(calls)
        for _ in range(min(queue.backend.concurrency - queue.workers, len(calls))):
            queue.workers += 1
            self._workers.add(asyncio.create_task(self._worker(queue)))

    async def _worker(self, queue: _BackendQueue) -> None:
        try:
            while queue.calls and not self._stopping:
                await self._lock_and_ask(queue.backend, queue.calls.popleft())
        finally:
            queue.workers -= 1

    async def _lock_and_ask(self, backend: CallBackend, call: Sequence[Request]) -> None:
        """Make a call once no other run is asking its requests; use the replies that other runs
        have committed meanwhile."""
        keys = [request.key for request in call]
        while not self._locks.acquire(keys):
            await asyncio.sleep(CLAIM_SECONDS)
            if self._stopping:
                return
        try:
            committed = self._find(keys)
            if committed:
                answered = [request for request in call if request.key in committed]
                await self._use_committed(answered, committed)
            missing = [request.key for request in call if request.key not in committed]
            waiting = self._in_batches(missing)
            self._replies.update(waiting)
            remaining = [
                request for request in call if request.key not in committed | waiting.keys()
            ]
            if remaining:
                await self._ask(backend, remaining)
        finally:
            self._locks.release(keys)

    async def _use_committed(
        self, answered: Sequence[Request], replies: Mapping[bytes, Reply]
    ) -> None:
        async with self._commit_lock:
            self._replies.update(replies)
            self._ask_next(answered)

    def _ask_next(self, answered: Sequence[Request]) -> None:
        for request in self._next_requests(answered):
            self._start(self._queue_of(request), [[request]])

    async def _ask(self, backend: CallBackend, call: Sequence[Request]) -> None:
        """Make one call. If several requests are refused together, ask each alone, since the
        refusal may concern only one of them."""
        payloads = [request.payload for request in call]
        estimate = backend.estimate(payloads).usd if self._control.limits_cost else 0.0
        while not (reason := self._down.get(id(backend))) and not self._control.reserve(estimate):
            if self._stopping:
                return
            await asyncio.sleep(CLAIM_SECONDS)  # until calls in flight release theirs
        if reason:
            return self._set_unanswered(call, reason)
        refused = False
        try:
            with self._in_flight:  # until its reply is committed
                replies = await backend.answer(payloads)
                await self._store(list(zip(call, replies, strict=True)))
        except RefusalError as error:
            refused = len(call) > 1
            if not refused:
                await self._store([(call[0], Reply({}, str(error)))])
        except StorageError:
            raise
        except ProviderError as error:
            self._set_unanswered(call, str(error))
        except PrerequisiteError as error:
            self._down[id(backend)] = str(error)
            self._set_unanswered(call, str(error))
        finally:
            self._control.release(estimate)  # not before the reply's own cost is counted
        for request in call if refused else ():
            if not self._stopping:
                await self._ask(backend, [request])

    def _set_unanswered(self, call: Sequence[Request], reason: str) -> None:
        for request in call:
            self._replies[request.key] = Unanswered(reason)

    async def _store(self, answered: Sequence[Answered]) -> None:
        """Commit the replies and return when that is done; replies that arrive during a commit
        share the next."""
        self._arrived.update((request.key, (request, reply)) for request, reply in answered)
        async with self._commit_lock:
            if answered[0][0].key not in self._arrived:
                return
            group, self._arrived = list(self._arrived.values()), {}
            self._commit_in_progress = asyncio.ensure_future(asyncio.to_thread(self._commit, group))
            try:
                await asyncio.shield(self._commit_in_progress)
            except StorageError:
                self._failed = True  # at once: `ask_all` looks only now and then
                raise
            self._replies.update((request.key, reply) for request, reply in group)
            self._ask_next([request for request, _ in group])
