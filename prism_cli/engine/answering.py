"""Requests to replies: from the ledger, from a model in batches, or from a server in parallel.

A reply is committed before anybody sees it. Equal requests are asked once.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.engine.crash import crash_point
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request
from prism_cli.shards.ledger import Ledger

COMMIT_SECONDS = 5.0
"""Work of a model that a kill may cost, about."""
POLL_SECONDS = 0.2
"""How soon a signal is noticed while all calls are slow."""


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

    def add(self, other: "Tally") -> None:
        """Add another output's tally."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Answerer:
    """Answers the requests of a window of rows.

    Attributes:
        stage: named in the ledger's entries.
        open_ledger: called when the first request comes; a stage without requests needs none.
        tally: of the output at work.
    """

    stage: str
    open_ledger: Callable[[], Ledger]
    control: Control
    tally: Tally = field(default_factory=Tally)
    _output: str = ""
    _since_ms: int = 0
    _ledger: Ledger | None = None
    _runner: asyncio.Runner | None = None
    _down: dict[int, str] = field(default_factory=dict)

    def turn_to(self, output: str, since_ms: int) -> None:
        """Begin another output; of replies older than `since_ms` (ms since the epoch) none is
        used."""
        self._output, self._since_ms, self.tally = output, since_ms, Tally()

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened at the first use."""
        if self._ledger is None:
            self._ledger = self.open_ledger()
        return self._ledger

    def usage(self) -> dict[str, float]:
        """What the output at work cost in all its attempts, and what this one was spared."""
        if self._ledger is None:
            return {}
        spared = {"from_ledger": self.tally.from_ledger, "shared": self.tally.shared}
        return self._ledger.spent(self._output) | spared

    def answer(self, requests: Sequence[Request]) -> dict[bytes, Reply | Unanswered]:
        """A reply, or the lack of one, for each distinct key.

        Raises:
            InterruptedRunError, LimitReachedError: after what was answered is committed.
            PrerequisiteError: a model in this process cannot work at all.
        """
        distinct = {asked.key: asked for asked in requests}
        self.tally.shared += len(requests) - len(distinct)
        replies: dict[bytes, Reply | Unanswered] = {}
        replies.update(self.ledger.find(list(distinct), self._since_ms))
        self.tally.from_ledger += len(replies)
        if len(replies) == len(distinct):
            return replies
        by_backend: dict[int, list[Request]] = {}
        for asked in distinct.values():
            by_backend.setdefault(id(asked.backend), []).append(asked)
        for group in by_backend.values():
            missing = [asked for asked in group if asked.key not in replies]
            if not missing:
                continue
            backend = group[0].backend
            if isinstance(backend, BatchBackend):
                self._batches(backend, group, replies)
            else:
                self._calls(backend, missing, replies)
        return replies

    def close(self) -> None:
        """End the event loop and release the ledger, if they were needed."""
        if self._runner is not None:
            self._runner.close()
        if self._ledger is not None:
            self._ledger.close()

    def commit(self, done: Sequence[tuple[Request, Reply]]) -> None:
        """Keep replies for good, and count them."""
        if not done:
            return
        crash_point("before-commit")
        self.ledger.commit(self.stage, self._output, done)
        crash_point("after-commit")
        for _, reply in done:
            self.tally.count(reply)
            self.control.spent_usd += reply.usage.usd

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
                answered = list(zip(missing, answers, strict=True))
                waiting += answered
                replies.update((asked.key, reply) for asked, reply in answered)
                if time.monotonic() - committed_at >= COMMIT_SECONDS:
                    self.commit(waiting)
                    waiting = []
                    committed_at = time.monotonic()
        finally:
            self.commit(waiting)

    def _calls(
        self,
        backend: CallBackend,
        missing: list[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> None:
        self.control.check()
        if self._runner is None:
            self._runner = asyncio.Runner()
        self._runner.run(_Calls(self, backend, replies, self._down).all(missing))
        self.control.check()


class _Calls:
    """One backend's calls of one window, at most `concurrency` in flight."""

    def __init__(
        self,
        answerer: Answerer,
        backend: CallBackend,
        replies: dict[bytes, Reply | Unanswered],
        down: dict[int, str],
    ) -> None:
        self._answerer = answerer
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
        self._answerer.commit(list(self._arrived.values()))  # their workers were cancelled

    @property
    def _stopping(self) -> bool:
        return self._failed or self._answerer.control.stopping

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
                self._saving = asyncio.ensure_future(
                    asyncio.to_thread(self._answerer.commit, group)
                )
                await asyncio.shield(self._saving)
        self._replies[asked.key] = reply
