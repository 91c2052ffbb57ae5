"""Batch files on their way: sent, found again after a kill, waited for, fetched.

An intent stands in the book before anything is sent, so a kill at any step is made good by the
same command: it asks the provider which intents became batches. Replies are joined by key.
"""

import asyncio
import io
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, asynccontextmanager
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

import orjson

from prism_cli.engine.batch.store import NOT_ANSWERED, BatchStore, BatchSubmission
from prism_cli.engine.call_pool import POLL_SECONDS
from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.engine.crash import crash_point
from prism_cli.engine.progress_display import LINE_SECONDS
from prism_cli.errors import LockedError, PrerequisiteError, ProviderError
from prism_cli.ports import BatchEndpoint
from prism_cli.reporting.sanitize import escape_invisible
from prism_cli.shards.lock import output_lock

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
SETTLE_SECONDS = 10.0
"""Until a batch that is not in the provider's list was surely not made by a call before."""
_LOCK_NAME = "batches"


class BatchClient:
    """Takes files to their providers and brings replies into the book.

    Args:
        quiet: say nothing.
        give_up: batches that their provider does not know.
    """

    def __init__(
        self, book: BatchStore, control: Control, *, quiet: bool, give_up: bool = False
    ) -> None:
        self._book = book
        self._control = control
        self._quiet = quiet
        self._give_up = give_up

    async def send(
        self,
        desk: BatchEndpoint,
        spec: str,
        file: BinaryIO,
        keys: Sequence[bytes],
        usd: float,
        sequence: int,
        noted: Callable[[list[str]], None],
    ) -> str:
        """One file: an intent, whose id it gives, then the upload, then the batch."""
        self._control.check()
        intent = uuid4().hex
        self._book.intend(intent, desk.name, spec, usd, keys, sequence)
        noted([intent])
        crash_point("batch-intent")
        uploaded = await self._until_done(desk.upload(file, f"prism-{intent}.jsonl"))
        crash_point("batch-uploaded")
        self._book.creating(intent)
        # Once this call is out, an answer is worth waiting for.
        batch = await self._until_done(desk.create(uploaded, intent), grace=GRACE_SECONDS)
        crash_point("batch-created")
        self._book.created(intent, batch)
        about = f", about {usd:.4f} USD" if usd else ""
        self.tell(f"{spec}: {len(keys):,} questions sent as {batch}{about}")
        return intent

    async def settle(self, desk: BatchEndpoint) -> None:
        """What became of intents whose process has died; no other can be at this point now."""
        for intent in self._book.unsettled(desk.name):
            batch = None
            settled = time.monotonic() + SETTLE_SECONDS  # the wall clock may have been set since
            while intent.status == "creating":
                batch = await self._until_done(desk.find(intent.id))
                if batch is not None or time.monotonic() > settled:
                    break
                await self._pause(1.0)
            if batch is None:
                self._book.drop(intent.id)
            else:
                self._book.created(intent.id, batch)

    async def wait(self, awaited: Set[str], desks: Mapping[str, BatchEndpoint]) -> None:
        """Fetch the replies of these intents' batches, each when it has ended.

        Args:
            desks: by model.
        """
        pause, told_at = FIRST_PAUSE, time.monotonic()
        while waiting := self._book.open_intents(awaited):
            await self._pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            speak = time.monotonic() - told_at >= LINE_SECONDS
            if speak:
                told_at = time.monotonic()
            for intent in waiting:
                try:
                    words = await self._looked_at(intent, desks[intent.model])
                except ProviderError as error:
                    words = f"{error}; asked again later"
                self._book.tell(intent.id, words)
                if speak:
                    self.tell(f"{intent.model}, {intent.batch}: {words}")

    async def _looked_at(self, intent: BatchSubmission, desk: BatchEndpoint) -> str:
        """Fetch a batch's replies if it has ended; where it stands."""
        state = await self._until_done(desk.look(intent.batch))
        if state is None:
            if not self._give_up:
                raise PrerequisiteError(
                    f"{desk.name} does not know batch {intent.batch}; it may belong to another key "
                    "or address. Where it is too old to be fetched, --accept-lost-replies gives it "
                    "up, and its questions are asked, and paid for, again"
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

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """One process at a time: who is in here knows that intents without a batch are nobody's."""
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(output_lock(self._book.path.with_name(_LOCK_NAME)))
                    break
                except LockedError:
                    await self._pause(1.0)
            yield

    def tell(self, words: str) -> None:
        if not self._quiet:
            print(escape_invisible(f"prism: {words}"), file=sys.stderr, flush=True)

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
