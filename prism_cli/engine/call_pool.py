"""CallPool to servers: so many in flight, each reply committed before its slot is free again."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError, StorageError
from prism_cli.ports import CallBackend, Reply, Request
from prism_cli.shards.claims import Claims

POLL_SECONDS = 0.2
"""How soon a signal is noticed while all calls are slow."""
CLAIM_SECONDS = 0.05
"""How soon a reply that another run waits for is noticed."""

Answered = tuple[Request, Reply]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that has no reply for now, and why; its row stays pending."""

    reason: str


def by_backend(requests: Sequence[Request]) -> list[list[Request]]:
    """The requests of each backend, in their order."""
    groups: dict[int, list[Request]] = {}
    for asked in requests:
        groups.setdefault(id(asked.backend), []).append(asked)
    return list(groups.values())


@dataclass(eq=False)
class _BackendQueue:
    """The calls to one server that wait, and how many workers there are."""

    backend: CallBackend
    calls: deque[Sequence[Request]] = field(default_factory=deque)
    workers: int = 0


class CallPool:
    """The calls of one window, all servers at once, of each at most `concurrency` in flight.

    Args:
        replies: filled with what comes.
        down: backends (by id) that are out of use, and why; asked no more.
        commit: keeps replies for good; runs in a thread of its own, one at a time.
        claims: of the questions in flight, so that of runs that share a ledger one asks.
        find: replies that such a run has committed meanwhile.
        more: told what has been answered, after its commit and never during another; single
            questions to be asked next.
    """

    def __init__(
        self,
        replies: dict[bytes, Reply | Unanswered],
        down: dict[int, str],
        commit: Callable[[Sequence[Answered]], None],
        control: Control,
        claims: Claims,
        find: Callable[[Sequence[bytes]], Mapping[bytes, Reply]],
        more: Callable[[Sequence[Request]], Sequence[Request]],
    ) -> None:
        self._commit = commit
        self._control = control
        self._claims = claims
        self._find = find
        self._more = more
        self._replies = replies
        self._down = down
        self._lanes: dict[int, _BackendQueue] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._arrived: dict[bytes, Answered] = {}
        self._turn = asyncio.Lock()
        self._saving: asyncio.Future[None] | None = None
        self._failed = False

    async def all(self, requests: Sequence[Request]) -> None:
        """Ask them; when told to stop, wait for what is in flight, but not for ever.

        Raises:
            StorageError: a commit failed; nothing more was asked.
        """
        for missing in by_backend(requests):
            lane = self._lane(missing[0])
            calls = lane.backend.plan([asked.payload for asked in missing])
            self._send(lane, [[missing[index] for index in call] for call in calls])
        errors: list[BaseException] = []
        stop_at = float("inf")
        while self._workers:
            done, _ = await asyncio.wait(self._workers, timeout=POLL_SECONDS)
            self._workers -= done
            errors += [error for one in done if not one.cancelled() and (error := one.exception())]
            self._failed = self._failed or bool(errors)
            if self._stopping and stop_at == float("inf"):
                stop_at = time.monotonic() + GRACE_SECONDS
            if time.monotonic() >= stop_at:
                for worker in self._workers:
                    worker.cancel()
        if errors:
            raise errors[0]
        if self._saving is not None:
            await self._saving
        self._commit(list(self._arrived.values()))  # their workers were cancelled

    @property
    def _stopping(self) -> bool:
        return self._failed or self._control.stopping

    def _lane(self, asked: Request) -> _BackendQueue:
        assert isinstance(asked.backend, CallBackend)
        return self._lanes.setdefault(id(asked.backend), _BackendQueue(asked.backend))

    def _send(self, lane: _BackendQueue, calls: Sequence[Sequence[Request]]) -> None:
        lane.calls.extend(calls)
        for _ in range(min(lane.backend.concurrency - lane.workers, len(calls))):
            lane.workers += 1
            self._workers.add(asyncio.create_task(self._worker(lane)))

    async def _worker(self, lane: _BackendQueue) -> None:
        try:
            while lane.calls and not self._stopping:
                await self._ask_ours(lane.backend, lane.calls.popleft())
        finally:
            lane.workers -= 1

    async def _ask_ours(self, backend: CallBackend, call: Sequence[Request]) -> None:
        """A call that no other run is making; what one of them has asked meanwhile is taken over
        from the ledger."""
        keys = [asked.key for asked in call]
        while not self._claims.take(keys):
            await asyncio.sleep(CLAIM_SECONDS)
            if self._stopping:
                return
        try:
            found = self._find(keys)
            if found:
                await self._take_over([asked for asked in call if asked.key in found], found)
            left = [asked for asked in call if asked.key not in found]
            if left:
                await self._ask(backend, left)
        finally:
            self._claims.give_back(keys)

    async def _take_over(self, taken: Sequence[Request], found: Mapping[bytes, Reply]) -> None:
        async with self._turn:
            self._replies.update(found)
            self._go_on(taken)

    def _go_on(self, answered: Sequence[Request]) -> None:
        for asked in self._more(answered):
            self._send(self._lane(asked), [[asked]])

    async def _ask(self, backend: CallBackend, call: Sequence[Request]) -> None:
        """One call; where several questions are refused together, one for each, since it may be
        a single one that is to blame."""
        payloads = [asked.payload for asked in call]
        if reason := self._down.get(id(backend)):
            return self._unanswered(call, reason)
        estimate = backend.estimate(payloads).usd
        if not self._control.reserve(estimate):
            return
        refused = False
        try:
            replies = await backend.answer(payloads)
            await self._durable(list(zip(call, replies, strict=True)))
        except RefusalError as error:
            refused = len(call) > 1
            if not refused:
                await self._durable([(call[0], Reply({}, str(error)))])
        except StorageError:
            raise
        except ProviderError as error:
            self._unanswered(call, str(error))
        except PrerequisiteError as error:
            self._down[id(backend)] = str(error)
            self._unanswered(call, str(error))
        finally:
            self._control.release(estimate)  # not before the reply's own cost is counted
        for asked in call if refused else ():
            if not self._stopping:
                await self._ask(backend, [asked])

    def _unanswered(self, call: Sequence[Request], reason: str) -> None:
        for asked in call:
            self._replies[asked.key] = Unanswered(reason)

    async def _durable(self, answered: Sequence[Answered]) -> None:
        """Wait until the replies are committed; those that arrive during a commit share the
        next."""
        self._arrived.update((asked.key, (asked, reply)) for asked, reply in answered)
        async with self._turn:
            if answered[0][0].key not in self._arrived:
                return
            group, self._arrived = list(self._arrived.values()), {}
            self._saving = asyncio.ensure_future(asyncio.to_thread(self._commit, group))
            try:
                await asyncio.shield(self._saving)
            except StorageError:
                self._failed = True  # at once: `all` looks only now and then
                raise
            self._replies.update((asked.key, reply) for asked, reply in group)
            self._go_on([asked for asked, _ in group])
