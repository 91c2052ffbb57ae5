"""Requests to models of this process: planned in batches; each batch is cached or computed as a
whole."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Protocol

from prism_cli.engine.call_pool import Unanswered
from prism_cli.engine.control import Control
from prism_cli.engine.counts import UsageTotals
from prism_cli.ports import BatchBackend, Reply, Request
from prism_cli.shards.ledger import UNUSABLE
from prism_cli.shards.local_ledger import LocalLedger, StoredReply, decode_reply

Answered = tuple[Request, Reply]
COMMIT_SECONDS = 5.0
"""Interval of commits, and so the work that a kill may cost."""


class RunnerContext(Protocol):
    """Interface to the request runner: counts the replies of a pass, and stops it."""

    totals: UsageTotals
    control: Control
    refusals_after_sequence: int

    @property
    def on_replies(self) -> Callable[[], None]:
        """Called when replies have come."""

    @property
    def on_lookup(self) -> Callable[[], AbstractContextManager[None]]:
        """Context entered around a lookup of replies."""

    def record(self, done: Sequence[Answered], commit: Callable[[], None]) -> None:
        """Commit replies and count them."""


class LocalRunner:
    """Runs local models in one pass over one output.

    Args:
        output: the output's id in the ledger.
        open_ledger: called when the first request comes.
        context: counts the replies and stops the run.
    """

    def __init__(
        self,
        stage: str,
        output: str,
        open_ledger: Callable[[], LocalLedger],
        context: RunnerContext,
    ) -> None:
        self._stage, self._output, self._open = stage, output, open_ledger
        self._context = context
        self._opened: LocalLedger | None = None
        self._plans: set[bytes] = set()

    def forget(self) -> None:
        """Answer further requests as if this pass had asked nothing before."""
        self._plans.clear()

    def answer(
        self,
        backend: BatchBackend,
        group: Sequence[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> None:
        """Answer a group so that the replies do not depend on earlier runs: requests that earlier
        groups of this pass made have their replies; the others are planned in batches, each of
        which is taken as a whole from the output's ledger, or computed as a whole."""
        with self._context.on_lookup():
            plan, batches = self._look_up(backend, group, replies)
        waiting: list[Answered] = []
        committed_at = time.monotonic()

        def commit() -> None:
            self._ledger().commit(self._stage, self._output, plan, waiting)

        try:
            for batch in batches:
                self._context.control.check()
                with self._context.control.interruptible():
                    answers = backend.answer([request.payload for request in batch])
                answered = list(zip(batch, answers, strict=True))
                waiting += answered
                replies.update((request.key, reply) for request, reply in answered)
                self._context.on_replies()
                if time.monotonic() - committed_at >= COMMIT_SECONDS:
                    self._record(waiting, commit)
                    waiting = []
                    committed_at = time.monotonic()
        finally:
            self._record(waiting, commit)

    def _look_up(
        self,
        backend: BatchBackend,
        group: Sequence[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> tuple[bytes, list[list[Request]]]:
        """Return the plan of the group and the batches that must be computed; add the replies of
        the others to `replies`."""
        before = len(replies)
        kept = self._ledger().find([request.key for request in group if request.key not in replies])
        for earlier in sorted(self._plans & kept.keys()):
            for key, entry in kept[earlier].items():
                if key not in replies:
                    replies[key] = decode_reply(entry)
        batches = [
            [group[i] for i in batch if group[i].key not in replies]
            for batch in backend.plan([request.payload for request in group])
        ]
        plan = _plan_digest(batches)
        self._plans.add(plan)
        planned = kept.get(plan, {})
        asks_again = self._context.refusals_after_sequence > 0
        missing: list[list[Request]] = []
        for batch in filter(None, batches):
            stored = [planned[request.key] for request in batch if request.key in planned]
            if len(stored) < len(batch) or (asks_again and any(map(_is_refused, stored))):
                missing.append(batch)
                continue
            for request, entry in zip(batch, stored, strict=True):
                replies[request.key] = decode_reply(entry)
        self._context.totals.from_ledger += len(replies) - before
        return plan, missing

    def spent(self) -> dict[str, float]:
        """Return as `Ledger.spent`; {} if nothing was asked in this pass."""
        return self._opened.spent(self._output) if self._opened is not None else {}

    def close(self) -> None:
        """Close the ledger."""
        if self._opened is not None:
            self._opened.close()

    def _ledger(self) -> LocalLedger:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _record(self, done: Sequence[Answered], commit: Callable[[], None]) -> None:
        self._context.record(done, commit)
        self._context.totals.local += len(done)


def _is_refused(stored: StoredReply) -> bool:
    value, refusal = stored
    return refusal is not None or value.startswith(UNUSABLE)


def _plan_digest(batches: Sequence[Sequence[Request]]) -> bytes:
    digest = blake2b(digest_size=16)
    for batch in batches:
        digest.update(len(batch).to_bytes(8, "big"))
        digest.update(b"".join([request.key for request in batch]))
    return digest.digest()
