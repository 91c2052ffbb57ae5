"""Requests to replies: from the ledger, from a model in batches, or from a server in parallel.

A reply is committed before anybody sees it. Equal requests are asked once.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.errors import PrerequisiteError, ProviderError, StorageError
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request
from prism_cli.shards.ledger import Ledger

COMMIT_SECONDS = 5.0
"""Work of a model that a kill may cost, about."""
GROUP_SECONDS = 0.02
"""How long a server's reply waits for others to share its commit."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that has no reply for now, and why; its row stays pending."""

    reason: str


@dataclass
class Tally:
    """What a run asked and paid."""

    asked: int = 0
    from_ledger: int = 0
    shared: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def count(self, reply: Reply) -> None:
        """Add one new reply."""
        self.asked += 1
        self.input_tokens += reply.usage.input_tokens
        self.output_tokens += reply.usage.output_tokens
        self.usd += reply.usage.usd


@dataclass
class Answerer:
    """Answers the requests of a window of rows.

    Attributes:
        stage: named in the ledger's entries.
        fresh: keys answered by this run; with `fresh_only`, older replies are not used.
    """

    stage: str
    ledger: Ledger
    control: Control
    fresh_only: bool = False
    tally: Tally = field(default_factory=Tally)
    fresh: set[bytes] = field(default_factory=set)
    down: dict[int, str] = field(default_factory=dict)
    _runner: asyncio.Runner | None = None

    def answer(self, requests: Sequence[Request]) -> dict[bytes, Reply | Unanswered]:
        """A reply, or the lack of one, for each distinct key.

        Raises:
            InterruptedRunError, LimitReachedError: after what was answered is committed.
            PrerequisiteError: a model in this process cannot work at all.
        """
        distinct = {asked.key: asked for asked in requests}
        self.tally.shared += len(requests) - len(distinct)
        keys = list(distinct)
        if self.fresh_only:
            keys = [key for key in keys if key in self.fresh]
        replies: dict[bytes, Reply | Unanswered] = dict(self.ledger.find(keys))
        self.tally.from_ledger += len(replies)
        by_backend: dict[int, list[Request]] = {}
        for asked in distinct.values():
            by_backend.setdefault(id(asked.backend), []).append(asked)
        for group in by_backend.values():
            if all(asked.key in replies for asked in group):
                continue
            backend = group[0].backend
            if isinstance(backend, BatchBackend):
                self._batches(backend, group, replies)
            else:
                missing = [asked for asked in group if asked.key not in replies]
                self._calls(backend, missing, replies)
        return replies

    def close(self) -> None:
        """End the event loop, if one was needed."""
        if self._runner is not None:
            self._runner.close()

    def _commit(self, answered: Iterable[tuple[Request, Reply]]) -> None:
        done = list(answered)
        if not done:
            return
        self.ledger.commit(self.stage, done)
        for asked, reply in done:
            self.tally.count(reply)
            self.control.spent_usd += reply.usage.usd
            if self.fresh_only:
                self.fresh.add(asked.key)

    def _batches(
        self,
        backend: BatchBackend,
        group: list[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> None:
        """Plan over all requests of the window, so that the batches do not depend on what the
        ledger already holds; answer what is missing of each."""
        waiting: list[tuple[Request, Reply]] = []
        committed_at = time.monotonic()
        try:
            for batch in backend.plan([asked.payload for asked in group]):
                missing = [group[i] for i in batch if group[i].key not in replies]
                if not missing:
                    continue
                self.control.check()
                answers = backend.answer([asked.payload for asked in missing])
                waiting += zip(missing, answers, strict=True)
                replies.update((asked.key, reply) for asked, reply in waiting)
                if time.monotonic() - committed_at >= COMMIT_SECONDS:
                    self._commit(waiting)
                    waiting = []
                    committed_at = time.monotonic()
        finally:
            self._commit(waiting)

    def _calls(
        self,
        backend: CallBackend,
        missing: list[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> None:
        self.control.check()
        if self._runner is None:
            self._runner = asyncio.Runner()
        self._runner.run(_Calls(self, backend, replies).all(missing))
        self.control.check()


class _Calls:
    """One backend's calls of one window, at most `concurrency` in flight."""

    def __init__(
        self, answerer: Answerer, backend: CallBackend, replies: dict[bytes, Reply | Unanswered]
    ) -> None:
        self._answerer = answerer
        self._backend = backend
        self._replies = replies
        self._arrived: list[tuple[Request, Reply]] = []
        self._committed: asyncio.Future[None] | None = None

    async def all(self, missing: list[Request]) -> None:
        queue = iter(missing)
        workers = [
            asyncio.create_task(self._worker(queue))
            for _ in range(min(self._backend.concurrency, len(missing)))
        ]
        waiting, stop_at = set(workers), float("inf")
        while waiting:
            done, waiting = await asyncio.wait(waiting, timeout=0.2)
            for worker in done:
                worker.result()
            if self._answerer.control.stopping and stop_at == float("inf"):
                stop_at = time.monotonic() + GRACE_SECONDS
            if time.monotonic() >= stop_at:
                for worker in waiting:
                    worker.cancel()
                await asyncio.wait(waiting)
                break

    async def _worker(self, queue: Iterable[Request]) -> None:
        answerer, backend = self._answerer, self._backend
        for asked in queue:
            if answerer.control.stopping:
                return
            if reason := answerer.down.get(id(backend)):
                self._replies[asked.key] = Unanswered(reason)
                continue
            try:
                reply = await backend.answer(asked.payload)
            except ProviderError as error:
                self._replies[asked.key] = Unanswered(str(error))
            except PrerequisiteError as error:
                answerer.down[id(backend)] = str(error)
                self._replies[asked.key] = Unanswered(str(error))
            else:
                await self._durable(asked, reply)

    async def _durable(self, asked: Request, reply: Reply) -> None:
        """Wait until the reply is committed together with those that arrive within the group."""
        self._arrived.append((asked, reply))
        if self._committed is None:
            self._committed = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(GROUP_SECONDS, self._commit)
        await asyncio.shield(self._committed)
        self._replies[asked.key] = reply

    def _commit(self) -> None:
        arrived, self._arrived = self._arrived, []
        committed, self._committed = self._committed, None
        assert committed is not None
        try:
            self._answerer._commit(arrived)
        except StorageError as error:
            committed.set_exception(error)
        else:
            committed.set_result(None)
