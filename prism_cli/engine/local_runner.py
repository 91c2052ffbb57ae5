"""Requests to models of this process: in planned batches, each found whole or computed whole."""

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
from prism_cli.shards.local_ledger import Kept, LocalLedger

Answered = tuple[Request, Reply]
COMMIT_SECONDS = 5.0
"""Work of a model that a kill may cost, about."""


class RunnerContext(Protocol):
    """Counts the replies of a pass, and stops it."""

    totals: UsageTotals
    control: Control
    refused_after: int

    @property
    def on_replies(self) -> Callable[[], None]:
        """Called when replies have come."""

    @property
    def finding(self) -> Callable[[], AbstractContextManager[None]]:
        """Entered around a lookup of replies."""

    def keep(self, done: Sequence[Answered], commit: Callable[[], None]) -> None:
        """Count replies and commit them."""


class LocalRunner:
    """Those of one pass over one output.

    Args:
        output: what the ledger calls it.
        open_ledger: called when the first request comes.
        account: where replies are counted, and what stops the run.
    """

    def __init__(
        self,
        stage: str,
        output: str,
        open_ledger: Callable[[], LocalLedger],
        account: RunnerContext,
    ) -> None:
        self._stage, self._output, self._open = stage, output, open_ledger
        self._account = account
        self._opened: LocalLedger | None = None
        self._plans: set[bytes] = set()

    def forget(self) -> None:
        """From now on answer as if nothing had been asked in this pass."""
        self._plans.clear()

    def answer(
        self,
        backend: BatchBackend,
        group: Sequence[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> None:
        """Answer a whole group, as if this output were the first that is ever made: what earlier
        groups of this pass asked too is taken from there, and the rest in planned batches, each of
        which is found whole in the output's own ledger, or computed whole."""
        with self._account.finding():
            plan, batches = self._found(backend, group, replies)
        waiting: list[Answered] = []
        committed_at = time.monotonic()

        def commit() -> None:
            self._ledger().commit(self._stage, self._output, plan, waiting)

        try:
            for batch in batches:
                self._account.control.check()
                with self._account.control.abandoning():
                    answers = backend.answer([asked.payload for asked in batch])
                answered = list(zip(batch, answers, strict=True))
                waiting += answered
                replies.update((asked.key, reply) for asked, reply in answered)
                self._account.on_replies()
                if time.monotonic() - committed_at >= COMMIT_SECONDS:
                    self._keep(waiting, commit)
                    waiting = []
                    committed_at = time.monotonic()
        finally:
            self._keep(waiting, commit)

    def _found(
        self,
        backend: BatchBackend,
        group: Sequence[Request],
        replies: dict[bytes, Reply | Unanswered],
    ) -> tuple[bytes, list[list[Request]]]:
        """The plan of the group, and its batches that are to be computed; `replies` gets those of
        the others."""
        at_hand = len(replies)
        kept = self._ledger().find([one.key for one in group if one.key not in replies])
        for earlier in sorted(self._plans & kept.keys()):
            for key, one in kept[earlier].items():
                if key not in replies:
                    replies[key] = one.reply
        batches = [
            [group[i] for i in batch if group[i].key not in replies]
            for batch in backend.plan([asked.payload for asked in group])
        ]
        plan = _plan_digest(batches)
        self._plans.add(plan)
        planned = kept.get(plan, {})
        missing: list[list[Request]] = []
        for batch in filter(None, batches):
            found = [planned.get(asked.key) for asked in batch]
            known = [one for one in found if one is not None and self._is_usable(one)]
            if len(known) < len(batch):
                missing.append(batch)
                continue
            for asked, one in zip(batch, known, strict=True):
                replies[asked.key] = one.reply
        self._account.totals.from_ledger += len(replies) - at_hand
        return plan, missing

    def spent(self) -> dict[str, float]:
        """As `Ledger.spent`; {} where nothing was asked in this pass."""
        return self._opened.spent(self._output) if self._opened is not None else {}

    def close(self) -> None:
        """Close the ledger."""
        if self._opened is not None:
            self._opened.close()

    def _ledger(self) -> LocalLedger:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _keep(self, done: Sequence[Answered], commit: Callable[[], None]) -> None:
        self._account.keep(done, commit)
        self._account.totals.local += len(done)

    def _is_usable(self, kept: Kept) -> bool:
        refused = kept.refusal is not None or kept.value.startswith(UNUSABLE)
        return not (refused and self._account.refused_after)


def _plan_digest(batches: Sequence[Sequence[Request]]) -> bytes:
    digest = blake2b(digest_size=16)
    for batch in batches:
        digest.update(len(batch).to_bytes(8, "big"))
        for asked in batch:
            digest.update(asked.key)
    return digest.digest()
