"""Requests to replies: from the ledger, from a model in batches, or from a server in parallel.

A reply is committed before anybody sees it. Equal requests are asked once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prism_cli import terminal
from prism_cli.engine.batch.runner import BatchRunner
from prism_cli.engine.call_pool import CallPool, by_backend
from prism_cli.engine.call_pool import Unanswered as Unanswered
from prism_cli.engine.control import Control
from prism_cli.engine.counts import UsageTotals
from prism_cli.engine.crash import crash_point
from prism_cli.engine.local_runner import LocalRunner
from prism_cli.ports import BatchableBackend, CallBackend, Reply, Request
from prism_cli.shards.claims import Claims
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import LocalLedger

T = TypeVar("T")

GoOn = Callable[[Sequence[Request]], Sequence[Request]]
"""Told what has been answered; what rows ask next."""


@dataclass
class RequestRunner:
    """Answers the requests of a window of rows.

    Attributes:
        stage: named in the ledger's entries.
        open_ledger: called when the first request comes; a stage without requests needs none.
        totals: of the output at work.
        after: replies of the ledger with no higher sequence number are not used.
        refused_after: likewise of final refusals.
        on_replies: called when some have come, in whatever thread.
        finding: around a look for replies of models of this process.
        batching: takes the questions of models that answer batch files; None: no batch was ever
            sent here, and all are called.
        local: models of this process, for the output at work.
    """

    stage: str
    open_ledger: Callable[[], Ledger]
    control: Control
    totals: UsageTotals = field(default_factory=UsageTotals)
    after: int = 0
    refused_after: int = 0
    on_replies: Callable[[], None] = lambda: None
    finding: Callable[[], AbstractContextManager[None]] = nullcontext
    batching: BatchRunner | None = None
    local: LocalRunner | None = None
    _output: str = ""
    _mark: int | None = None
    _ledger: Ledger | None = None
    _others: Ledger | None = None
    _claims: Claims | None = None
    _runner: asyncio.Runner | None = None
    _down: dict[int, str] = field(default_factory=dict)
    _lost: dict[int, int] = field(default_factory=dict)
    _asked: dict[int, CallBackend] = field(default_factory=dict)

    def turn_to(
        self,
        output: str,
        open_local: Callable[[], LocalLedger],
        after: int | None = None,
        refused_after: int | None = None,
    ) -> None:
        """Begin a pass over another output.

        Args:
            open_local: where replies of models of this process are kept; called when the first
                request to one comes.
            after: of the ledger's replies with no higher sequence number none is used.
            refused_after: likewise of final refusals.
        """
        self._output, self.totals = output, UsageTotals()
        self.after, self.refused_after = after or 0, refused_after or 0
        if self.local is not None:
            self.local.close()
        self.local = LocalRunner(self.stage, output, open_local, self)

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened at the first use."""
        if self._ledger is None:
            self._ledger = self.open_ledger()
        return self._ledger

    def usage(self) -> dict[str, float]:
        """What the output at work cost in all its attempts, and what this one was spared; `local`
        is the part of `asked` that models of this process answered."""
        local = self.local.spent() if self.local else {}
        spent = self._ledger.spent(self._output) if self._ledger is not None else {}
        if not local and not spent:
            return {}
        both = {name: spent.get(name, 0) + local.get(name, 0) for name in local or spent}
        spared = {"from_ledger": self.totals.from_ledger, "shared": self.totals.shared}
        return both | {"local": local.get("asked", 0)} | spared

    def mark(self) -> int:
        """A number of the ledger's order, above those of all that was in it when this run took
        it: one for all outputs, so that what they ask alike is asked once."""
        if self._mark is None:
            self._mark = self.ledger.next_sequence()
        return self._mark

    def next_sequence(self) -> int:
        """A number of the ledger's order, above those of all that is in it."""
        return self.ledger.next_sequence(self.after)

    def exchange(self) -> bool:
        """Send what was kept for batches and wait for them; False where there was nothing.

        Raises: as `BatchRunner.exchange`.
        """
        assert self.batching is not None
        return self._run(
            self.batching.exchange(self.find, self.next_sequence, self.ledger.note_sent)
        )

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        """The replies that the ledger has and this run may use."""
        return self.ledger.find(keys, self.after, max(self.after, self.refused_after))

    def _find_new(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        """The same, by a connection of its own, so that it may be asked during a commit."""
        if self._others is None:
            self._others = self.open_ledger()
        found = self._others.find(keys, self.after, max(self.after, self.refused_after))
        self.totals.from_ledger += len(found)
        return found

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, in the loop that connections live in."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(work)

    def close(self) -> None:
        """Close connections, event loop and ledger, as far as they were needed."""
        if self._runner is not None:
            for backend in self._asked.values():
                self._runner.run(backend.close())
            self._runner.close()
        for file in (self._claims, self._others, self._ledger, self.local):
            if file is not None:
                file.close()
        if self.batching is not None:
            self.batching.close()

    def commit(self, done: Sequence[tuple[Request, Reply]]) -> None:
        """Keep replies of servers for good, and count them."""
        self.keep(done, lambda: self.ledger.commit(self.stage, self._output, done, self.after))

    def keep(self, done: Sequence[tuple[Request, Reply]], commit: Callable[[], None]) -> None:
        """Commit replies, then count them."""
        if not done:
            return
        crash_point("before-commit")
        commit()
        crash_point("after-commit")
        for _, reply in done:
            self.totals.count(reply)
            self.control.spent_usd += reply.usage.usd
        terminal.count(asked=len(done), usd=sum(reply.usage.usd for _, reply in done))
        self.on_replies()

    def ask(
        self,
        groups: Sequence[Sequence[Request]],
        replies: dict[bytes, Reply | Unanswered],
        go_on: GoOn,
    ) -> None:
        """Add to `replies` what is missing of `groups`, each of one backend: models of this
        process one after another, then all servers at once, and with them what `go_on` adds."""
        missing: list[Request] = []
        for group in groups:
            backend = group[0].backend
            if isinstance(backend, CallBackend):
                missing += (one for one in group if one.key not in replies)
            else:
                assert self.local is not None, "no output has been turned to"
                self.local.answer(backend, group, replies)
        if not missing:
            return
        self.control.check()

        def more(answered: Sequence[Request]) -> list[Request]:
            return self._to_call(go_on(answered), replies, go_on)

        if self._claims is None:
            self._claims = Claims(self.ledger.path.with_suffix(".claims"))
        try:
            calls = CallPool(
                replies,
                self._down,
                self.commit,
                self.control,
                self._claims,
                self._find_new,
                more,
            )
            self._run(calls.all(self._to_call(missing, replies, go_on)))
        finally:
            for backend in self._asked.values():
                self._count_lost(backend)
        self.control.check()

    def _to_call(
        self,
        requests: Sequence[Request],
        replies: dict[bytes, Reply | Unanswered],
        go_on: GoOn,
    ) -> list[Request]:
        """What of these requests is to be called, and of those that rows go on to with what
        batches brought."""
        found: list[Request] = []
        while requests:
            for group in by_backend(requests):
                backend = group[0].backend
                assert isinstance(backend, CallBackend)
                self._asked[id(backend)] = backend
                found += self._posted(backend, group, replies)
            brought = [one for one in requests if isinstance(replies.get(one.key), Reply)]
            requests = go_on(brought) if brought else ()
        return found

    def _posted(
        self,
        backend: CallBackend,
        missing: list[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> list[Request]:
        """Take from `missing` what batches brought, or will bring; what is left is to be called."""
        if self.batching is None:
            return missing
        if not isinstance(backend, BatchableBackend) or backend.batch_endpoint is None:
            self.batching.tell_live(backend.spec)
            return missing
        done, waiting = self.batching.take(backend, backend.batch_endpoint, missing, self.after)
        self.commit(done)
        self.batching.forget(done)
        replies.update(waiting)
        replies.update((asked.key, reply) for asked, reply in done)
        return [asked for asked in missing if asked.key not in replies]

    def _count_lost(self, backend: CallBackend) -> None:
        """Keep how many calls went without a reply since the last look: they may be billed."""
        lost = backend.lost_calls - self._lost.get(id(backend), 0)
        if lost:
            self._lost[id(backend)] = backend.lost_calls
            self.totals.lost_calls += lost
            terminal.count(lost_calls=lost)
            self.ledger.add_lost_calls(self._output, lost)
