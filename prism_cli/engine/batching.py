"""Questions by batch file: diverted on a pass over the rows, sent, waited for, read on the next.

A batch is an intent in the book before anything is sent, so a kill at any step is made good by the
same command: it asks the provider which intents became batches. Replies are joined by key.
"""

import asyncio
import io
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import islice
from tempfile import TemporaryFile
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

import orjson

from prism_cli.engine.calls import POLL_SECONDS, Answered, Unanswered
from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.engine.crash import crash_point
from prism_cli.engine.progress import LINE_SECONDS
from prism_cli.errors import (
    LockedError,
    PrerequisiteError,
    ProviderError,
    RefusalError,
    StorageError,
)
from prism_cli.ports import BatchableBackend, BatchDesk, Reply, Request
from prism_cli.shards.batch_book import NOT_ANSWERED, BatchBook, Intent, Result
from prism_cli.shards.lock import output_lock
from prism_cli.shards.spill import Spill

T = TypeVar("T")

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
"""Of one batch file, by OpenAI's limits."""
ROUNDS = 3
"""Batches in which one question is asked in one run, while none answers it."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
SETTLE_SECONDS = 10.0
"""Until a batch that is not in the provider's list was surely not made by a call before."""
FORGOTTEN_MS = 48 * 3600 * 1000
"""A batch that is gone from its provider after that long is given up."""
_LOCK_NAME = "batches"
_FREE_LINES = 500
_IN_A_BATCH = Unanswered("in a batch")


class Batching:
    """The batches of one run.

    Args:
        quiet: say nothing while waiting.
    """

    def __init__(self, book: BatchBook, control: Control, *, quiet: bool) -> None:
        self._book = book
        self._control = control
        self._quiet = quiet
        self._desks: dict[str, BatchDesk] = {}
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
        self, backend: BatchableBackend, desk: BatchDesk, missing: Sequence[Request], since_ms: int
    ) -> tuple[list[Answered], dict[bytes, Unanswered]]:
        """Replies that batches brought, to be committed and then forgotten; all else is noted for
        the next batch, or waits for one on its way.

        Args:
            since_ms: what was asked before is not used, in ms since the epoch.
        """
        self._desks[backend.spec] = desk
        keys = [asked.key for asked in missing]
        results, holders = self._book.results(keys), self._book.holders(keys)
        on_their_way = {one.id for one in self._book.open_intents(set(holders.values()))}
        failed = self._failures(keys)
        done: list[Answered] = []
        left: dict[bytes, Unanswered] = {}
        lost: list[tuple[bytes, int, str]] = []
        spooled: list[tuple[bytes, str, bytes, float]] = []
        for asked in missing:
            key, found = asked.key, results.pop(asked.key, None)
            rounds, why = failed.get(key, (0, ""))
            if found is not None and found.asked_ms > since_ms:
                try:
                    reply = _read(backend, asked.payload, found)
                except ProviderError as error:
                    rounds, why = rounds + 1, str(error)
                except PrerequisiteError as error:
                    rounds, why = ROUNDS, str(error)
                else:
                    done.append((asked, reply))
                    continue
                lost.append((key, rounds, why))
            if rounds >= ROUNDS:
                left[key] = Unanswered(why)
                continue
            left[key] = _IN_A_BATCH
            if holders.get(key) in on_their_way:
                self._awaited.add(holders[key])
            else:
                spooled.append((key, backend.spec, *_line(backend, desk, asked)))
        self._failed.fill("INSERT OR REPLACE INTO spill VALUES (?, ?, ?)", lost)
        self._any_failed = self._any_failed or bool(lost)
        self._spool.fill("INSERT OR IGNORE INTO spill VALUES (?, ?, ?, ?)", spooled)
        self._spooled += len(spooled)
        self._book.forget(left)
        return done, left

    def forget(self, done: Sequence[Answered]) -> None:
        """These replies are in the ledger."""
        self._book.forget(asked.key for asked, _ in done)

    def tell_live(self, spec: str) -> None:
        """Say once that a model takes no batches."""
        if spec not in self._live:
            self._live.add(spec)
            self._tell(f"{spec}: its provider takes no batches; it is asked call by call")

    async def exchange(self) -> bool:
        """Send what was noted and wait for all that rows wait for; False where that is nothing.

        Raises:
            InterruptedRunError, LimitReachedError: the batches go on at the provider.
            ProviderError: likewise; the provider is of no use now.
        """
        if not self._spooled and not self._awaited:
            return False
        try:
            if self._spooled and not self._refused:
                async with self._alone():
                    await self._submit()
            if self._refused and not self._awaited:
                self._control.refuse()
                self._control.check()
            await self._wait()
        except StorageError:
            raise
        except (RefusalError, PrerequisiteError) as error:
            raise ProviderError(f"{error}; batches that were sent before go on there") from None
        self._begin_round()
        return True

    def close(self) -> None:
        """Release the book."""
        self._book.close()

    async def _submit(self) -> None:
        """Cut the spool into files, one model a file, as far as the money goes."""
        for desk in {one.name: one for one in self._desks.values()}.values():
            await self._settle(desk)
        room = self._control.room_usd
        room -= sum(one.usd for one in self._book.open_intents(self._awaited))
        for spec, desk in self._desks.items():
            lines = self._free_lines(spec)
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
                        await self._send(desk, spec, file, keys, usd)

    async def _send(
        self, desk: BatchDesk, spec: str, file: BinaryIO, keys: Sequence[bytes], usd: float
    ) -> None:
        """One file: an intent, then the upload, then the batch."""
        self._control.check()
        intent = uuid4().hex
        self._book.intend(intent, desk.name, spec, usd, keys)
        crash_point("batch-intent")
        uploaded = await self._until_done(desk.upload(file, f"prism-{intent}.jsonl"))
        crash_point("batch-uploaded")
        self._book.creating(intent)
        # Once this call is out, an answer is worth waiting for.
        batch = await self._until_done(desk.create(uploaded, intent), grace=GRACE_SECONDS)
        crash_point("batch-created")
        self._book.created(intent, batch)
        self._awaited.add(intent)
        about = f", about {usd:.4f} USD" if usd else ""
        self._tell(f"{spec}: {len(keys):,} questions sent as {batch}{about}")

    async def _settle(self, desk: BatchDesk) -> None:
        """What became of intents whose process has died; no other can be at this point now."""
        for intent in self._book.unsettled(desk.name):
            batch = None
            while intent.status == "creating":
                batch = await self._until_done(desk.find(intent.id))
                old = time.time() - intent.changed_ms / 1000
                if batch is not None or old > SETTLE_SECONDS:
                    break
                await self._pause(1.0)
            if batch is None:
                self._book.drop(intent.id)
            else:
                self._book.created(intent.id, batch)

    async def _wait(self) -> None:
        """Fetch the replies of all batches that rows wait for, each when it has ended."""
        pause, told_at = FIRST_PAUSE, time.monotonic()
        while waiting := self._book.open_intents(self._awaited):
            await self._pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            speak = time.monotonic() - told_at >= LINE_SECONDS
            if speak:
                told_at = time.monotonic()
            for intent in waiting:
                try:
                    words = await self._looked_at(intent)
                except ProviderError as error:
                    words = f"{error}; asked again later"
                if speak:
                    self._tell(f"{intent.model}, {intent.batch}: {words}")

    async def _looked_at(self, intent: Intent) -> str:
        """Fetch a batch's replies if it has ended; where it stands."""
        desk = self._desks[intent.model]
        state = await self._until_done(desk.look(intent.batch))
        if state is None:
            if time.time_ns() // 1_000_000 - intent.created_ms < FORGOTTEN_MS:
                raise PrerequisiteError(
                    f"{desk.name} does not know batch {intent.batch}, which was sent less than 48 "
                    "hours ago; it may belong to another key or address"
                )
            self._book.fetched(intent.id, (), f"{desk.name} has forgotten batch {intent.batch}")
            return "forgotten"
        if not state.ended:
            return f"{state.words}, {state.answered:,} of {state.total:,} answered"
        contents = [await self._until_done(desk.fetch(file)) for file in state.files]
        crash_point("batch-fetched")
        replies = (reply for content in contents for reply in _replies(content))
        self._book.fetched(intent.id, replies, f"no reply in batch {intent.batch} ({state.words})")
        return state.words

    def _free_lines(self, spec: str) -> Iterator[tuple[bytes, bytes, float]]:
        """(key, line, price) of a model, without what another run's batch holds; that is waited
        for."""
        rows = self._spool.rows(
            "SELECT key, line, usd FROM spill WHERE model = ? ORDER BY rowid", (spec,)
        )
        while part := list(islice(rows, _FREE_LINES)):
            held = self._book.holders([key for key, _, _ in part])
            self._awaited |= set(held.values())
            yield from (line for line in part if line[0] not in held)

    def _failures(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, str]]:
        if not self._any_failed:
            return {}
        found = [
            row
            for key in keys
            for row in self._failed.rows("SELECT * FROM spill WHERE key = ?", (key,))
        ]
        return {key: (rounds, why) for key, rounds, why in found}

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One process at a time: who is in here knows that intents without a batch are nobody's."""
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(output_lock(self._book.path.with_name(_LOCK_NAME)))
                    break
                except LockedError:
                    await self._pause(1.0)
            yield

    async def _until_done(self, work: Coroutine[Any, Any, T], *, grace: float = 0.0) -> T:
        """Its result; given up `grace` seconds after the run was told to stop."""
        task, stop_at = asyncio.ensure_future(work), float("inf")
        while not (await asyncio.wait({task}, timeout=POLL_SECONDS))[0]:
            if self._control.stopping:
                stop_at = min(stop_at, time.monotonic() + grace)
            if time.monotonic() >= stop_at:
                task.cancel()
                await asyncio.wait({task})
                self._control.check()
        return task.result()

    async def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._control.check()
            await asyncio.sleep(min(left, POLL_SECONDS))
        self._control.check()

    def _tell(self, words: str) -> None:
        if not self._quiet:
            print(f"prism: {words}", file=sys.stderr, flush=True)


def _line(backend: BatchableBackend, desk: BatchDesk, asked: Request) -> tuple[bytes, float]:
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


def _replies(content: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """(key, status, body) of each line of an output or error file that is one."""
    for raw in io.BytesIO(content):
        try:
            line = orjson.loads(raw)
            key = bytes.fromhex(line["custom_id"])
        except (ValueError, KeyError, TypeError):
            continue
        response, error = line.get("response"), line.get("error")
        status = response.get("status_code") if isinstance(response, dict) else None
        if isinstance(status, int) and status > NOT_ANSWERED:
            yield key, status, orjson.dumps(response.get("body"))
        elif isinstance(error, dict):
            yield key, NOT_ANSWERED, str(error.get("message") or error.get("code")).encode()
