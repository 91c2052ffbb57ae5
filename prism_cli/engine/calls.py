"""A server's calls: so many in flight, each reply committed before its slot is free again."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError, StorageError
from prism_cli.ports import CallBackend, Reply, Request

POLL_SECONDS = 0.2
"""How soon a signal is noticed while all calls are slow."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that has no reply for now, and why; its row stays pending."""

    reason: str


class Calls:
    """One backend's calls of one window, at most `concurrency` in flight.

    Args:
        replies: filled with what comes.
        down: backends (by id) that are out of use, and why; asked no more.
        commit: keeps replies for good; runs in a thread of its own, one at a time.
    """

    def __init__(
        self,
        backend: CallBackend,
        replies: dict[bytes, Reply | Unanswered],
        down: dict[int, str],
        commit: Callable[[Sequence[tuple[Request, Reply]]], None],
        control: Control,
    ) -> None:
        self._commit = commit
        self._control = control
        self._backend = backend
        self._replies = replies
        self._down = down
        self._arrived: dict[bytes, tuple[Request, Reply]] = {}
        self._turn = asyncio.Lock()
        self._saving: asyncio.Future[None] | None = None
        self._failed = False

    async def all(self, missing: list[Request]) -> None:
        """Ask; when told to stop, wait for what is in flight, but not for ever.

        Raises:
            StorageError: a commit failed; nothing more was asked.
        """
        queue = iter(missing)
        workers = [
            asyncio.create_task(self._worker(queue))
            for _ in range(min(self._backend.concurrency, len(missing)))
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

    async def _worker(self, queue: Iterable[Request]) -> None:
        backend, down = self._backend, self._down
        for asked in queue:
            if self._stopping:
                return
            if reason := down.get(id(backend)):
                self._replies[asked.key] = Unanswered(reason)
                continue
            try:
                reply = await backend.answer(asked.payload)
            except RefusalError as error:
                reply = Reply({}, str(error))
            except ProviderError as error:
                self._replies[asked.key] = Unanswered(str(error))
                continue
            except PrerequisiteError as error:
                down[id(backend)] = str(error)
                self._replies[asked.key] = Unanswered(str(error))
                continue
            await self._durable(asked, reply)

    async def _durable(self, asked: Request, reply: Reply) -> None:
        """Wait until the reply is committed; those that arrive during a commit share the next."""
        self._arrived[asked.key] = (asked, reply)
        async with self._turn:
            if asked.key in self._arrived:
                group, self._arrived = list(self._arrived.values()), {}
                self._saving = asyncio.ensure_future(asyncio.to_thread(self._commit, group))
                try:
                    await asyncio.shield(self._saving)
                except StorageError:
                    self._failed = True  # at once: `all` looks only now and then
                    raise
        self._replies[asked.key] = reply
