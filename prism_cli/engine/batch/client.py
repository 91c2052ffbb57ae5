"""Submission of batch files, recovery after a kill, waiting, and fetching of replies.

A submission is stored before anything is sent, so the same command recovers from a kill at any
step: it asks the provider which submissions became batches. Replies are matched by key.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
    Set,
)
from contextlib import ExitStack, asynccontextmanager
from itertools import chain
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

from prism_cli.batch_ports import BatchEndpoint, BatchState
from prism_cli.engine.batch.result_files import OK, answered, by_key, lacks_replies
from prism_cli.engine.batch.store import LOCK_NAME, BatchStore, BatchSubmission
from prism_cli.engine.call_pool import CLAIM_SECONDS, POLL_SECONDS
from prism_cli.engine.control import GRACE_SECONDS, Control
from prism_cli.engine.crash import crash_point
from prism_cli.engine.progress_display import LINE_SECONDS
from prism_cli.errors import (
    LockedError,
    PrerequisiteError,
    ProviderError,
    RefusalError,
    StorageError,
)
from prism_cli.reporting.sanitize import escape_invisible
from prism_cli.shards.lock import output_lock
from prism_cli.shards.request_locks import RequestLocks
from prism_cli.wording import counted

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
SETTLE_SECONDS = 10.0
"""Time after which an earlier call that created a batch must show in the provider's list."""
INCOMPLETE_LOOKS = 10
"""Looks at a batch that has ended, but not all of whose replies can be fetched."""


class BatchClient:
    """Sends batch files to their providers and stores the replies.

    Args:
        quiet: print nothing.
        give_up: give up batches and replies that their provider does not know.
    """

    def __init__(
        self, store: BatchStore, control: Control, *, quiet: bool, give_up: bool = False
    ) -> None:
        self._store = store
        self._control = control
        self._quiet = quiet
        self._give_up = give_up
        self._incomplete: Counter[str] = Counter()
        self._answered_any = self._lost_any = False

    @property
    def left_untaken(self) -> bool:
        """True if the batches of the last `wait` answered questions, and lost no reply to one that
        they had taken and that may have been paid: then the unanswered ones were not taken."""
        return self._answered_any and not self._lost_any

    async def send(
        self,
        endpoint: BatchEndpoint,
        spec: str,
        file: BinaryIO,
        keys: Sequence[bytes],
        usd: float,
        sequence: int,
        note_sent: Callable[[list[str]], None],
        asked_meanwhile: Callable[[], Awaitable[bool]],
    ) -> str | None:
        """Store a submission, upload its file, create the batch; return the submission's id.

        Args:
            asked_meanwhile: whether another run has asked some of the questions before it could
                see the submission, which is then given up: return None.
        """
        self._control.check()
        submission = uuid4().hex
        self._store.add(submission, endpoint.name, spec, usd, keys, sequence)
        if await asked_meanwhile():
            self._store.drop(submission)
            return None
        note_sent([submission])
        crash_point("batch-intent")
        uploaded = await self._until_done(endpoint.upload(file, f"prism-{submission}.jsonl"))
        crash_point("batch-uploaded")
        self._store.mark_creating(submission, uploaded)
        # Once this request is sent, its reply is worth the grace period.
        creation = endpoint.create(uploaded, submission, SETTLE_SECONDS)
        batch = await self._until_done(creation, grace=GRACE_SECONDS)
        crash_point("batch-created")
        self._store.mark_open(submission, batch)
        about = f", about {usd:.4f} USD" if usd else ""
        self.report(f"{spec}: {counted(len(keys), 'question')} sent as {batch}{about}")
        return submission

    async def wait_until_free(self, locks: RequestLocks, keys: Sequence[bytes]) -> None:
        """Wait until no other run is calling these requests: its replies are then committed."""
        while not locks.acquire(keys):
            await self._pause(CLAIM_SECONDS)
        locks.release(keys)

    async def settle(self, endpoint: BatchEndpoint) -> None:
        """Find out which submissions of killed processes became batches. The caller holds `lock`,
        so that no live process has such submissions.

        Raises:
            RefusalError: the provider's list cannot be searched.
        """
        for submission in self._store.unsettled(endpoint.name):
            batch = None
            deadline = time.monotonic() + SETTLE_SECONDS  # the wall clock may have been changed
            while submission.status == "creating":
                try:
                    batch = await self._until_done(endpoint.find(submission.id, submission.file))
                except RefusalError:
                    if not self._give_up:
                        raise
                if batch is not None or time.monotonic() > deadline:
                    break
                await self._pause(1.0)
            if batch is None:
                self._store.drop(submission.id)
            else:
                self._store.mark_open(submission.id, batch)

    async def wait(self, awaited: Set[str], endpoints: Mapping[str, BatchEndpoint]) -> None:
        """Wait for the batches of these submissions and fetch the replies of each when it ends.

        Args:
            endpoints: by model.

        Raises:
            PrerequisiteError: a batch was cancelled there, is unknown, or lacks paid replies; those
                of all others were fetched before.
            StorageError: replies cannot be stored.
        """
        pause, reported_at = FIRST_PAUSE, time.monotonic()
        self._answered_any = self._lost_any = False
        failed: dict[str, PrerequisiteError] = {}
        while waiting := self._store.open_submissions(awaited - failed.keys()):
            await self._pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            report_due = time.monotonic() - reported_at >= LINE_SECONDS
            if report_due:
                reported_at = time.monotonic()
            for submission in waiting:
                try:
                    state = await self._fetch_if_ended(submission, endpoints[submission.model])
                except ProviderError as error:
                    state = f"{error}; asked again later"
                except StorageError:
                    raise
                except PrerequisiteError as error:
                    if str(error) not in map(str, failed.values()):
                        self.report(str(error))
                    failed[submission.id] = error
                    continue
                self._store.note_state(submission.id, state)
                if report_due:
                    self.report(f"{submission.model}, {submission.batch}: {state}")
        if failed:
            raise next(iter(failed.values()))

    async def _fetch_if_ended(self, submission: BatchSubmission, endpoint: BatchEndpoint) -> str:
        """Store the replies of a batch if it has ended; return its state in words."""
        batch, refused = submission.batch, list[str]()
        state = await self._unless_refused(endpoint.look(batch), refused)
        if state is None:
            if not self._give_up:
                raise PrerequisiteError(
                    f"{endpoint.name} does not know batch {batch}{refused[0]}; it may belong to "
                    "another key or address. Where it is too old to be fetched, "
                    "--accept-lost-replies gives it up, and its questions are asked, and paid for, "
                    "again"
                )
            reason = f"{endpoint.name} has forgotten batch {batch}"
            self._store.store_replies(submission.id, (), reason)
            self._lost_any = True
            return "forgotten"
        if not state.ended:
            done = (state.completed or 0) + (state.failed or 0)
            return f"{state.words}, {done:,} of {state.total:,} answered"
        files = [await self._unless_refused(endpoint.fetch(file), refused) for file in state.files]
        crash_point("batch-fetched")
        replies = by_key(chain.from_iterable(file for file in files if file is not None))
        if words := self._missing(submission, endpoint.name, state, refused, replies):
            return words
        self._answered_any |= any(status == OK for status, _ in replies.values())
        untaken = state.status == "failed" and not state.completed
        self._lost_any |= not untaken and answered(replies) < submission.requests
        reason = f"no reply in batch {batch} ({state.words})"
        self._store.store_replies(
            submission.id, ((key, *reply) for key, reply in replies.items()), reason
        )
        if state.status == "cancelled":
            raise PrerequisiteError(
                f"batch {batch} was cancelled at {endpoint.name}; its replies are kept. The same "
                "command sends the other questions again"
            )
        return state.words

    def _missing(
        self,
        submission: BatchSubmission,
        provider: str,
        state: BatchState,
        refused: Sequence[str],
        replies: Mapping[bytes, tuple[int, bytes]],
    ) -> str | None:
        """Return the state of an ended batch whose files lack replies that were paid for and are
        fetched again; None if they lack none, or are given up.

        Raises:
            PrerequisiteError: nothing changed for INCOMPLETE_LOOKS looks.
        """
        # Where each question is answered, it does not matter what the provider counts or has lost.
        lacks = answered(replies) < submission.requests and (
            bool(refused) or lacks_replies(state, submission.requests, replies)
        )
        # Without counts, files that are not named may yet come.
        may_lack = state.completed is None and not state.files and state.status != "failed"
        if not lacks and not may_lack:
            return None
        batch = submission.batch
        count = "" if state.completed is None else f" with {state.completed:,} replies"
        words = (
            f"{provider} reports batch {batch} of {submission.requests:,} questions as "
            f"{state.words}{count}, but its result files have {answered(replies):,}"
            f"{''.join(refused)}"
        )
        self._incomplete[batch] += 1
        if self._incomplete[batch] < INCOMPLETE_LOOKS:
            return f"{words}; fetched again later"
        if lacks and not self._give_up:
            raise PrerequisiteError(
                f"{words}. Run the same command again later; --accept-lost-replies takes the "
                "replies that are there, and the other questions are asked, and paid for, again"
            )
        return None

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Hold the lock of the store. Its holder is the only process with submissions that are not
        batches yet."""
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(output_lock(self._store.path.with_name(LOCK_NAME)))
                    break
                except LockedError:
                    await self._pause(1.0)
            yield

    def report(self, message: str) -> None:
        """Print a line on standard error, unless quiet."""
        if not self._quiet:
            print(escape_invisible(f"prism: {message}"), file=sys.stderr, flush=True)

    async def _unless_refused(
        self, work: Coroutine[Any, Any, T | None], refused: list[str]
    ) -> T | None:
        """Return the result of `work`. Where it is unknown or refused, append why and return
        None."""
        try:
            result, why = await self._until_done(work), ""
        except RefusalError as error:
            result, why = None, f" ({error})"
        if result is None:
            refused.append(why)
        return result

    async def _until_done(self, work: Coroutine[Any, Any, T], *, grace: float = 0.0) -> T:
        """Return the result of `work`; cancel it `grace` seconds after the run is stopped."""
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
