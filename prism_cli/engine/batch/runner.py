"""Questions by batch file: diverted on a pass over the rows, sent, waited for, read on the next."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from tempfile import TemporaryFile
from typing import Any

import orjson

from prism_cli.engine.batch.client import BatchClient
from prism_cli.engine.batch.store import BatchStore, Result
from prism_cli.engine.call_pool import Answered, Unanswered
from prism_cli.engine.control import Control
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError, StorageError
from prism_cli.ports import BatchableBackend, BatchEndpoint, Reply, Request
from prism_cli.shards.spill import Spill

Find = Callable[[Sequence[bytes]], dict[bytes, Reply]]

Noted = Callable[[list[str]], None]

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
"""Of one batch file, by OpenAI's limits."""
ROUNDS = 3
"""Batches in which one question is asked in one run, while none answers it."""
_FREE_LINES = 500
_IN_A_BATCH = Unanswered(
    "in a batch that was sent before; the same command with --batch waits for it"
)


class BatchRunner:
    """The batches of one run.

    Args:
        sends: False in a run that calls, where batches of earlier runs are only looked up.
        quiet: say nothing while waiting.
        give_up: batches that their provider does not know.
    """

    def __init__(
        self,
        book: BatchStore,
        control: Control,
        *,
        sends: bool,
        quiet: bool,
        give_up: bool = False,
    ) -> None:
        self._book = book
        self._sends = sends
        self._control = control
        self._post = BatchClient(book, control, quiet=quiet, give_up=give_up)
        self._desks: dict[str, BatchEndpoint] = {}
        self._live: set[str] = set()
        self._failed = Spill("key BLOB PRIMARY KEY, rounds INT, why TEXT", "WITHOUT ROWID")
        self._any_failed = False
        self._refused = False
        self._begin_round()

    def _begin_round(self) -> None:
        self._spool = Spill("key BLOB PRIMARY KEY, model TEXT, line BLOB, usd REAL")
        self._spooled = 0
        self._awaited: set[str] = set()

    def take(
        self, backend: BatchableBackend, desk: BatchEndpoint, missing: Sequence[Request], after: int
    ) -> tuple[list[Answered], dict[bytes, Unanswered]]:
        """Replies that batches brought, to be committed and then forgotten, and what waits for a
        batch: one on its way, or else the next, for which it is noted. A run that calls is left
        what stands in neither.

        Args:
            after: what was asked with no higher sequence number of the ledger is not used.
        """
        self._desks[backend.spec] = desk
        keys = [asked.key for asked in missing]
        # In this order: what another run fetches meanwhile is then in one of the two at least.
        holders = self._book.on_their_way(keys, perhaps=not self._sends)
        results = self._book.results(keys)
        failed = self._failures(keys)
        done: list[Answered] = []
        left: dict[bytes, Unanswered] = {}
        lost: list[tuple[bytes, int, str]] = []
        spooled: list[tuple[bytes, str, bytes, float]] = []
        for asked in missing:
            key, found = asked.key, results.get(asked.key)
            rounds, why = failed.get(key, (0, ""))
            if found is not None and found.sequence > after:
                try:
                    reply = _read(backend, asked.payload, found)
                except ProviderError as error:
                    rounds, why = rounds + 1, str(error)
                except PrerequisiteError as error:
                    rounds, why = ROUNDS, str(error)
                else:
                    done.append((asked, reply))
                    del results[key]
                    continue
                lost.append((key, rounds, why))
            if key in holders:
                left[key] = _IN_A_BATCH
                self._awaited.add(holders[key])
            elif self._sends and rounds >= ROUNDS:
                left[key] = Unanswered(why)
            elif self._sends:
                left[key] = _IN_A_BATCH
                spooled.append((key, backend.spec, *_line(backend, desk, asked)))
        self._failed.fill("INSERT OR REPLACE INTO spill VALUES (?, ?, ?)", lost)
        self._any_failed = self._any_failed or bool(lost)
        self._spool.fill("INSERT OR IGNORE INTO spill VALUES (?, ?, ?, ?)", spooled)
        self._spooled += len(spooled)
        self._book.forget(results)
        return done, left

    def forget(self, done: Sequence[Answered]) -> None:
        """These replies are in the ledger."""
        self._book.forget(self._book.results([asked.key for asked, _ in done]))

    def tell_live(self, spec: str) -> None:
        """Say once that a model takes no batches."""
        if self._sends and spec not in self._live:
            self._live.add(spec)
            self._post.tell(f"{spec}: its provider takes no batches; it is asked call by call")

    async def exchange(self, find: Find, next_sequence: Callable[[], int], noted: Noted) -> bool:
        """Send what was noted and wait for all that rows wait for; False where that is nothing.

        Args:
            find: replies of the ledger.
            next_sequence: takes a number of the ledger's order.
            noted: keeps the intents that are in the book.

        Raises:
            InterruptedRunError, LimitReachedError: the batches go on at the provider.
            ProviderError: likewise; the provider is of no use now.
        """
        if not self._spooled and not self._awaited:
            return False
        try:
            if self._spooled and not self._refused:
                async with self._post.alone():
                    await self._submit(find, next_sequence, noted)
            if self._refused and not self._awaited:
                self._control.refuse()
                self._control.check()
            await self._post.wait(self._awaited, self._desks)
        except StorageError:
            raise
        except (RefusalError, PrerequisiteError) as error:
            raise ProviderError(f"{error}; batches that were sent before go on there") from None
        self._begin_round()
        return True

    def close(self) -> None:
        """Release the book."""
        self._book.close()

    async def _submit(self, find: Find, next_sequence: Callable[[], int], noted: Noted) -> None:
        """Cut the spool into files, one model a file, as far as the money goes."""
        for desk in {one.name: one for one in self._desks.values()}.values():
            await self._post.settle(desk)
        room = self._control.room_usd
        room -= sum(one.usd for one in self._book.open_intents(self._awaited))
        for spec, desk in self._desks.items():
            lines = self._free_lines(spec, find)
            line = next(lines, None)
            while line and not self._refused:
                with TemporaryFile(dir=self._book.path.parent) as file:
                    keys: list[bytes] = []
                    usd = size = 0.0
                    while line and len(keys) < MAX_REQUESTS:
                        key, raw, price = line
                        self._refused = usd + price > room
                        if self._refused or (keys and size + len(raw) > MAX_BYTES):
                            break
                        file.write(raw)
                        keys.append(key)
                        usd, size = usd + price, size + len(raw)
                        line = next(lines, None)
                    if keys:
                        room -= usd
                        number = next_sequence()
                        sent = self._post.send(desk, spec, file, keys, usd, number, noted)
                        self._awaited.add(await sent)

    def _free_lines(self, spec: str, find: Find) -> Iterator[tuple[bytes, bytes, float]]:
        """(key, line, price) of a model, without what another run has asked since: held by its
        batch, and then waited for, or answered already."""
        rows = self._spool.rows(
            "SELECT key, line, usd FROM spill WHERE model = ? ORDER BY rowid", (spec,)
        )
        while part := list(islice(rows, _FREE_LINES)):
            keys = [key for key, _, _ in part]
            held = self._book.on_their_way(keys)
            self._awaited |= set(held.values())
            taken = held.keys() | self._book.results(keys).keys() | find(keys).keys()
            yield from (line for line in part if line[0] not in taken)

    def _failures(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, str]]:
        if not self._any_failed:
            return {}
        found = [
            row
            for key in keys
            for row in self._failed.rows("SELECT * FROM spill WHERE key = ?", (key,))
        ]
        return {key: (rounds, why) for key, rounds, why in found}


def _line(backend: BatchableBackend, desk: BatchEndpoint, asked: Request) -> tuple[bytes, float]:
    """A question's line in a batch file, and its price, about."""
    line = {
        "custom_id": asked.key.hex(),
        "method": "POST",
        "url": desk.endpoint,
        "body": backend.batch_line(asked.payload),
    }
    usd = backend.estimate([asked.payload]).at(backend.batch_share).usd
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE), usd


def _read(backend: BatchableBackend, payload: Any, found: Result) -> Reply:
    try:
        return backend.read_batch(payload, found.status, found.body)
    except RefusalError as error:
        return Reply({}, str(error))
