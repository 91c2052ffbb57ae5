"""Replies to requests: from the ledger, from a local model in batches, or from servers in parallel.

A reply is committed before it is used. Equal requests are asked once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from prism_cli import terminal
from prism_cli.batch_ports import BatchableBackend
from prism_cli.engine.batch.runner import BatchRunner
from prism_cli.engine.call_pool import CallPool, CallsInFlight, by_backend
from prism_cli.engine.call_pool import Unanswered as Unanswered
from prism_cli.engine.control import Control
from prism_cli.engine.counts import UsageTotals
from prism_cli.engine.crash import crash_point
from prism_cli.engine.local_runner import LocalRunner
from prism_cli.ports import CallBackend, Reply, Request
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import LocalLedger
from prism_cli.shards.request_locks import RequestLocks

T = TypeVar("T")

Advance = Callable[[Sequence[Request]], Sequence[Request]]
"""Called with answered requests; returns the requests that their rows make next."""


@dataclass
class RequestRunner:
    """Answers the requests of a window of rows.

    Attributes:
        stage: recorded in the ledger's entries.
        open_ledger: called when the first request comes; a stage without requests needs no ledger.
        totals: usage of the current output.
        after_sequence: ledger replies with no higher sequence number are not used.
        refusals_after_sequence: likewise for final refusals.
        on_replies: called when replies have come, in any thread.
        on_lookup: context entered around a lookup of replies of local models.
        batches: takes the requests to models with batch files; None if no batch was ever sent
            here, so that all models are called.
        open_batches: looks for batches that another run has sent meanwhile.
        local: runs models of this process, for the current output.
        in_flight: calls to servers, for the current output.
    """

    stage: str
    open_ledger: Callable[[], Ledger]
    control: Control
    totals: UsageTotals = field(default_factory=UsageTotals)
    after_sequence: int = 0
    refusals_after_sequence: int = 0
    on_replies: Callable[[], None] = lambda: None
    on_lookup: Callable[[], AbstractContextManager[None]] = nullcontext
    batches: BatchRunner | None = None
    open_batches: Callable[[], BatchRunner | None] | None = None
    local: LocalRunner | None = None
    in_flight: CallsInFlight = field(default_factory=CallsInFlight)
    _output: str = ""
    _marks: dict[Path, int] = field(default_factory=dict)
    _ledger: Ledger | None = None
    _second_connection: Ledger | None = None
    _locks: RequestLocks | None = None
    _loop: asyncio.Runner | None = None
    _down: dict[int, str] = field(default_factory=dict)
    _lost: dict[int, int] = field(default_factory=dict)
    _backends: dict[int, CallBackend] = field(default_factory=dict)

    def begin_output(
        self,
        output: str,
        open_local: Callable[[], LocalLedger],
        after_sequence: int | None = None,
        refusals_after_sequence: int | None = None,
    ) -> None:
        """Begin a pass over an output.

        Args:
            open_local: opens the ledger of replies of local models; called when the first request
                to one comes.
            after_sequence: ledger replies with no higher sequence number are not used.
            refusals_after_sequence: likewise for final refusals.
        """
        self._output, self.totals, self.in_flight = output, UsageTotals(), CallsInFlight()
        self.after_sequence, self.refusals_after_sequence = (
            after_sequence or 0,
            refusals_after_sequence or 0,
        )
        if self.local is not None:
            self.local.close()
        self.local = LocalRunner(self.stage, output, open_local, self)

    def change_ledger(
        self, open_ledger: Callable[[], Ledger], open_batches: Callable[[], BatchRunner | None]
    ) -> None:
        """Use the ledger and the batches of another state directory from now on."""
        self._close_files()
        self._locks = self._second_connection = self._ledger = self.batches = None
        self.open_ledger, self.open_batches = open_ledger, open_batches
        self.batches = open_batches()

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened on first use."""
        if self._ledger is None:
            self._ledger = self.open_ledger()
        return self._ledger

    @property
    def locks(self) -> RequestLocks:
        """The locks on requests in flight, opened on first use."""
        if self._locks is None:
            self._locks = RequestLocks(self.ledger.path.with_suffix(".claims"))
        return self._locks

    def usage(self) -> dict[str, float]:
        """Return the cost of the current output over all attempts, and the cached replies of this
        one; `local` is the part of `asked` that local models answered."""
        local = self.local.spent() if self.local else {}
        spent = self._ledger.spent(self._output) if self._ledger is not None else {}
        if not local and not spent:
            return {}
        both = {name: spent.get(name, 0) + local.get(name, 0) for name in local or spent}
        cached = {"from_ledger": self.totals.from_ledger, "shared": self.totals.shared}
        return both | {"local": local.get("asked", 0)} | cached

    def mark(self) -> int:
        """Return a sequence number above those of all replies that the ledger had at the start of
        the run: the same for all its outputs, so that requests they share are asked once."""
        path = self.ledger.path
        if path not in self._marks:
            self._marks[path] = self.ledger.next_sequence()
        return self._marks[path]

    def next_sequence(self) -> int:
        """Return a sequence number above those of all replies that the ledger has now."""
        return self.ledger.next_sequence(self.after_sequence)

    def exchange_batches(self) -> bool:
        """Send the requests collected for batches and wait for them; return False if there are
        none.

        Raises: as `BatchRunner.exchange`.
        """
        assert self.batches is not None
        return self._run(
            self.batches.exchange(self.find, self.next_sequence, self.ledger.note_sent, self.locks)
        )

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        """Return the ledger's replies that this run may use."""
        return self.ledger.find(
            keys, self.after_sequence, max(self.after_sequence, self.refusals_after_sequence)
        )

    def _find_during_commit(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        """Same as `find`, by a second connection, so that it may be called during a commit."""
        if self._second_connection is None:
            self._second_connection = self.open_ledger()
        refusals_after_sequence = max(self.after_sequence, self.refusals_after_sequence)
        replies = self._second_connection.find(keys, self.after_sequence, refusals_after_sequence)
        self.totals.from_ledger += len(replies)
        return replies

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, run in the event loop of the connections."""
        if self._loop is None:
            self._loop = asyncio.Runner()
        return self._loop.run(work)

    def close(self) -> None:
        """Close connections, event loop and ledger, if they were opened."""
        if self._loop is not None:
            for backend in self._backends.values():
                self._loop.run(backend.close())
            self._loop.close()
        if self.local is not None:
            self.local.close()
        self._close_files()

    def _close_files(self) -> None:
        for file in (self._locks, self._second_connection, self._ledger, self.batches):
            if file is not None:
                file.close()

    def commit(self, done: Sequence[tuple[Request, Reply]]) -> None:
        """Commit replies of servers to the ledger and count them."""
        self.record(
            done, lambda: self.ledger.commit(self.stage, self._output, done, self.after_sequence)
        )

    def record(self, done: Sequence[tuple[Request, Reply]], commit: Callable[[], None]) -> None:
        """Commit replies by calling `commit`, then count them."""
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
        advance: Advance,
    ) -> None:
        """Add to `replies` what is missing of `groups`, each of one backend: local models one after
        another, then all servers at once, and with them the requests that `advance` returns."""
        missing: list[Request] = []
        for group in groups:
            backend = group[0].backend
            if isinstance(backend, CallBackend):
                missing += (request for request in group if request.key not in replies)
            else:
                assert self.local is not None, "begin_output has not been called"
                self.local.answer(backend, group, replies)
        if not missing:
            return
        self.control.check()

        def next_calls(answered: Sequence[Request]) -> list[Request]:
            return self._requests_to_call(advance(answered), replies, advance)

        try:
            pool = CallPool(
                replies,
                self._down,
                self.commit,
                self.control,
                self.locks,
                self._in_batches,
                self._find_during_commit,
                next_calls,
                self.in_flight,
            )
            self._run(pool.ask_all(self._requests_to_call(missing, replies, advance)))
        finally:
            for backend in self._backends.values():
                self._count_lost(backend)
        self.control.check()

    def _requests_to_call(
        self,
        requests: Sequence[Request],
        replies: dict[bytes, Reply | Unanswered],
        advance: Advance,
    ) -> list[Request]:
        """Return those of the requests that must be called, and of the requests that rows make next
        after a batch answered them."""
        to_call: list[Request] = []
        while requests:
            for group in by_backend(requests):
                backend = group[0].backend
                assert isinstance(backend, CallBackend)
                self._backends[id(backend)] = backend
                to_call += self._take_from_batches(backend, group, replies)
            answered = [
                request for request in requests if isinstance(replies.get(request.key), Reply)
            ]
            requests = advance(answered) if answered else ()
        return to_call

    def _in_batches(self, keys: Sequence[bytes]) -> dict[bytes, Unanswered]:
        if self.batches is None and self.open_batches is not None:
            self.batches = self.open_batches()
        return self.batches.held(keys) if self.batches is not None else {}

    def _take_from_batches(
        self,
        backend: CallBackend,
        missing: list[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> list[Request]:
        """Add the replies of batches to `replies`; return the requests that must be called."""
        if self.batches is None:
            return missing
        if not isinstance(backend, BatchableBackend) or backend.batch_endpoint is None:
            self.batches.report_single_calls(backend.spec)
            return missing
        done, waiting = self.batches.take(
            backend, backend.batch_endpoint, missing, self.after_sequence
        )
        self.commit(done)
        self.batches.forget(done)
        replies.update(waiting)
        replies.update((request.key, reply) for request, reply in done)
        return [request for request in missing if request.key not in replies]

    def count_killed(self, calls: int) -> None:
        """Record calls of an earlier attempt at the current output that was killed during them."""
        self.ledger.add_lost_calls(self._output, calls)

    def _count_lost(self, backend: CallBackend) -> None:
        """Record the calls without a reply since the last count: they may be billed."""
        lost = backend.lost_calls - self._lost.get(id(backend), 0)
        if lost:
            self._lost[id(backend)] = backend.lost_calls
            self.totals.lost_calls += lost
            terminal.count(lost_calls=lost)
            self.ledger.add_lost_calls(self._output, lost)
