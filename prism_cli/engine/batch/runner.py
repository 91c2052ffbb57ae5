"""Requests of one run that go by batch file: collected, submitted, and read from the store."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from tempfile import TemporaryFile
from typing import Any

import orjson

from prism_cli.batch_ports import BatchableBackend, BatchEndpoint
from prism_cli.engine.batch.client import BatchClient
from prism_cli.engine.batch.store import NOT_ANSWERED, BatchStore, StoredReply
from prism_cli.engine.call_pool import Answered, Unanswered
from prism_cli.engine.control import Control
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError, StorageError
from prism_cli.ports import Reply, Request
from prism_cli.shards.request_locks import RequestLocks
from prism_cli.shards.spill import Spill

Find = Callable[[Sequence[bytes]], dict[bytes, Reply]]

NoteSent = Callable[[list[str]], None]

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
"""OpenAI's limits on one batch file."""
ROUNDS = 3
"""Most batches that one run submits for a request while none answers it. Those that failed while
others answered do not count: some providers take only so many questions at a time."""
_LOOKUP_LINES = 500
_IN_A_BATCH = Unanswered(
    "in a batch that was sent before; the same command with --batch waits for it"
)
_COLLECTED = Unanswered("in no batch yet; the same command with --batch sends it")


class BatchRunner:
    """Collects requests for batches and submits them.

    Args:
        sends: False for a run without --batch, which only looks up batches of earlier runs.
        quiet: print nothing while waiting.
        give_up: give up batches that their provider does not know.
    """

    def __init__(
        self,
        store: BatchStore,
        control: Control,
        *,
        sends: bool,
        quiet: bool,
        give_up: bool = False,
    ) -> None:
        self._store = store
        self._sends = sends
        self._control = control
        self._client = BatchClient(store, control, quiet=quiet, give_up=give_up)
        self._endpoints: dict[str, BatchEndpoint] = {}
        self._called_singly: set[str] = set()
        self._failed = Spill("key BLOB PRIMARY KEY, rounds INT, why TEXT", "WITHOUT ROWID")
        self._any_failed = False
        self._over_budget = False
        self._begin_round()

    def _begin_round(self) -> None:
        self._spool = Spill("key BLOB PRIMARY KEY, model TEXT, line BLOB, usd REAL")
        self._spooled = 0
        self._awaited: set[str] = set()

    def take(
        self,
        backend: BatchableBackend,
        endpoint: BatchEndpoint,
        missing: Sequence[Request],
        after_sequence: int,
    ) -> tuple[list[Answered], dict[bytes, Unanswered]]:
        """Return the replies of batches, to be committed and then forgotten, and the requests that
        wait for a batch: a submitted one, or else the next, for which they are collected. A run
        without --batch has to call the requests that are in neither.

        Args:
            after_sequence: replies to submissions with no higher sequence number are not used.
        """
        self._endpoints[backend.spec] = endpoint
        keys = [request.key for request in missing]
        # In this order: a reply that another run fetches meanwhile is then in at least one of them.
        holders = self._store.holders(keys, include_uncertain=not self._sends)
        stored = self._store.replies(keys)
        failures = self._failures(keys)
        done: list[Answered] = []
        waiting: dict[bytes, Unanswered] = {}
        failed: list[tuple[bytes, int, str]] = []
        spooled: list[tuple[bytes, str, bytes, float]] = []
        for request in missing:
            key, stored_reply = request.key, stored.get(request.key)
            rounds, reason = failures.get(key, (0, ""))
            if stored_reply is not None and stored_reply.sequence > after_sequence:
                try:
                    reply = _read(backend, request.payload, stored_reply)
                except ProviderError as error:
                    untaken = stored_reply.status == NOT_ANSWERED and self._client.left_untaken
                    rounds, reason = rounds + (not untaken), str(error)
                    if error.billed:
                        estimate = backend.estimate([request.payload]).at(backend.batch_share)
                        self._control.spent_usd += estimate.usd
                except PrerequisiteError as error:
                    rounds, reason = ROUNDS, str(error)
                else:
                    done.append((request, reply))
                    del stored[key]
                    continue
                failed.append((key, rounds, reason))
            if key in holders:
                waiting[key] = _IN_A_BATCH
                self._awaited.add(holders[key])
            elif self._sends and rounds >= ROUNDS:
                waiting[key] = Unanswered(reason)
            elif self._sends:
                waiting[key] = _COLLECTED
                spooled.append((key, backend.spec, *_line(backend, endpoint, request)))
        self._failed.fill("INSERT OR REPLACE INTO spill VALUES (?, ?, ?)", failed)
        self._any_failed = self._any_failed or bool(failed)
        self._spool.fill("INSERT OR IGNORE INTO spill VALUES (?, ?, ?, ?)", spooled)
        self._spooled += len(spooled)
        self._store.forget(stored)
        return done, waiting

    def held(self, keys: Sequence[bytes]) -> dict[bytes, Unanswered]:
        """Return those of the requests that are in a submitted batch."""
        return dict.fromkeys(self._store.holders(keys, include_uncertain=True), _IN_A_BATCH)

    def forget(self, done: Sequence[Answered]) -> None:
        """Remove replies that are in the ledger now from the store."""
        self._store.forget(self._store.replies([request.key for request, _ in done]))

    def report_single_calls(self, spec: str) -> None:
        """Report once that a model takes no batches."""
        if self._sends and spec not in self._called_singly:
            self._called_singly.add(spec)
            self._client.report(f"{spec}: its provider takes no batches; it is asked call by call")

    async def exchange(
        self,
        find: Find,
        next_sequence: Callable[[], int],
        note_sent: NoteSent,
        locks: RequestLocks,
    ) -> bool:
        """Submit the collected requests and wait for all batches that rows wait for. Return False
        if there are none.

        Args:
            find: looks up replies in the ledger.
            next_sequence: takes the next sequence number of the ledger.
            note_sent: stores in the ledger the ids of submissions.
            locks: locks on requests in flight; those that other runs are calling are not sent.

        Raises:
            InterruptedRunError, LimitReachedError: the batches go on at the provider.
            ProviderError: likewise; the provider cannot be used now.
        """
        if not self._spooled and not self._awaited:
            return False
        try:
            if self._spooled and not self._over_budget:
                async with self._client.lock():
                    for keys in self._spooled_keys():
                        await self._client.wait_until_free(locks, keys)
                    await self._submit(find, next_sequence, note_sent, locks)
            if self._over_budget and not self._awaited:
                self._control.stop_over_budget()
                self._control.check()
            await self._client.wait(self._awaited, self._endpoints)
        except StorageError:
            raise
        except (RefusalError, PrerequisiteError) as error:
            some_open = bool(self._store.open_submissions(self._awaited))
            goes_on = "; batches that were sent before go on there" * some_open
            raise ProviderError(f"{error}{goes_on}") from None
        self._begin_round()
        return True

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    async def _submit(
        self,
        find: Find,
        next_sequence: Callable[[], int],
        note_sent: NoteSent,
        locks: RequestLocks,
    ) -> None:
        """Split the spool into files, each of one model, until the budget is used up."""
        for endpoint in {each.name: each for each in self._endpoints.values()}.values():
            await self._client.settle(endpoint)
        budget = self._control.remaining_usd
        budget -= sum(each.usd for each in self._store.open_submissions(self._awaited))
        for spec, endpoint in self._endpoints.items():
            lines = self._unsent_lines(spec, find)
            line = next(lines, None)
            while line and not self._over_budget:
                with TemporaryFile(dir=self._store.path.parent) as file:
                    keys: list[bytes] = []
                    usd = size = 0.0
                    while line and len(keys) < MAX_REQUESTS:
                        key, raw, price = line
                        self._over_budget = usd + price > budget
                        if self._over_budget or (keys and size + len(raw) > MAX_BYTES):
                            break
                        file.write(raw)
                        keys.append(key)
                        usd, size = usd + price, size + len(raw)
                        line = next(lines, None)
                    if keys:
                        number = next_sequence()
                        asked = partial(self._asked_meanwhile, keys, find, locks)
                        sent = await self._client.send(
                            endpoint, spec, file, keys, usd, number, note_sent, asked
                        )
                        if sent is None:
                            lines = self._unsent_lines(spec, find)
                            line, self._over_budget = next(lines, None), False
                        else:
                            budget -= usd
                            self._awaited.add(sent)

    async def _asked_meanwhile(
        self, keys: Sequence[bytes], find: Find, locks: RequestLocks
    ) -> bool:
        """Return whether another run has asked some of the requests, after its calls are over."""
        for start in range(0, len(keys), _LOOKUP_LINES):
            part = keys[start : start + _LOOKUP_LINES]
            await self._client.wait_until_free(locks, part)
            if find(part):
                return True
        return False

    def _spooled_keys(self) -> Iterator[list[bytes]]:
        keys = (key for (key,) in self._spool.rows("SELECT key FROM spill"))
        while part := list(islice(keys, _LOOKUP_LINES)):
            yield part

    def _unsent_lines(self, spec: str, find: Find) -> Iterator[tuple[bytes, bytes, float]]:
        """Yield (key, line, price) of the model's requests, without those that another run has
        asked since: they are in its batch, which is then awaited, or answered already."""
        rows = self._spool.rows(
            "SELECT key, line, usd FROM spill WHERE model = ? ORDER BY rowid", (spec,)
        )
        while part := list(islice(rows, _LOOKUP_LINES)):
            keys = [key for key, _, _ in part]
            held = self._store.holders(keys)
            self._awaited |= set(held.values())
            taken = held.keys() | self._store.replies(keys).keys() | find(keys).keys()
            yield from (line for line in part if line[0] not in taken)

    def _failures(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, str]]:
        """Return (rounds, reason) of the requests that earlier batches of this run left
        unanswered."""
        if not self._any_failed:
            return {}
        rows = (
            row
            for key in keys
            for row in self._failed.rows("SELECT * FROM spill WHERE key = ?", (key,))
        )
        return {key: (rounds, reason) for key, rounds, reason in rows}


def _line(
    backend: BatchableBackend, endpoint: BatchEndpoint, request: Request
) -> tuple[bytes, float]:
    """Return a request's line in a batch file and its estimated price."""
    line = {
        "custom_id": request.key.hex(),
        "method": "POST",
        "url": endpoint.endpoint,
        "body": backend.batch_line(request.payload),
    }
    usd = backend.estimate([request.payload]).at(backend.batch_share).usd
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE), usd


def _read(backend: BatchableBackend, payload: Any, stored: StoredReply) -> Reply:
    try:
        return backend.read_batch(payload, stored.status, stored.body)
    except RefusalError as error:
        return Reply({}, str(error))
