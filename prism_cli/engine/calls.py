"""Calls to servers: so many in flight, each reply committed before its slot is free again."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError, StorageError
from prism_cli.ports import CallBackend, Reply, Request

POLL_SECONDS = 0.2
"""How soon a signal is noticed while all calls are slow."""

Answered = tuple[Request, Reply]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that has no reply for now, and why; its row stays pending."""

    reason: str


class Calls:
    """The calls of one window, all servers at once, of each at most `concurrency` in flight.

    Args:
        replies: filled with what comes.
        down: backends (by id) that are out of use, and why; asked no more.
        commit: keeps replies for good; runs in a thread of its own, one at a time.
    """

    def __init__(
        self,
        replies: dict[bytes, Reply | Unanswered],
        down: dict[int, str],
        commit: Callable[[Sequence[Answered]], None],
        control: Control,
    ) -> None:
        self._commit = commit
        self._control = control
        self._replies = replies
        self._down = down
        self._arrived: dict[bytes, Answered] = {}
        self._turn = asyncio.Lock()
        self._saving: asyncio.Future[None] | None = None
        self._failed = False

    async def all(self, groups: Sequence[tuple[CallBackend, Sequence[Request]]]) -> None:
        """Ask each backend its requests; when told to stop, wait for what is in flight, but not
        for ever.

        Raises:
            StorageError: a commit failed; nothing more was asked.
        """
        workers: list[asyncio.Task[None]] = []
        for backend, missing in groups:
            calls = backend.plan([asked.payload for asked in missing])
            queue = iter([[missing[index] for index in call] for call in calls])
            workers += [
                asyncio.create_task(self._worker(backend, queue))
                for _ in range(min(backend.concurrency, len(calls)))
            ]
        waiting, stop_at = set(workers), float("inf")
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=POLL_SECONDS)
            self._failed = self._failed or any(worker.exception() for worker in done)
            if self._stopping and stop_at == float("inf"):
                stop_at = time.monotonic() + GRACE_SECONDS
            if waiting and time.monotonic() >= stop_at:
                for worker in waiting:
                    worker.cancel()
                await asyncio.wait(waiting)
                break
        errors = [error for one in workers if not one.cancelled() and (error := one.exception())]
        if errors:
            raise errors[0]
        if self._saving is not None:
            await self._saving
        self._commit(list(self._arrived.values()))  # their workers were cancelled

    @property
    def _stopping(self) -> bool:
        return self._failed or self._control.stopping

    async def _worker(self, backend: CallBackend, queue: Iterator[list[Request]]) -> None:
        for call in queue:
            if self._stopping:
                return
            await self._ask(backend, call)

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
            if answered[0][0].key in self._arrived:
                group, self._arrived = list(self._arrived.values()), {}
                self._saving = asyncio.ensure_future(asyncio.to_thread(self._commit, group))
                try:
                    await asyncio.shield(self._saving)
                except StorageError:
                    self._failed = True  # at once: `all` looks only now and then
                    raise
        self._replies.update((asked.key, reply) for asked, reply in answered)
