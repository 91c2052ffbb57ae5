"""A queue whose tasks one thread answers with the model, in short rounds.

A round takes one task of each request in turn, and as many as the model reads in ROUND_SECONDS, so
that a request of one document waits for no request of a thousand. Between two passes of the texts
that are being written there is one such round.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from prism_cli.ports import Reply, RerankRuntime, RerankTask
from prism_cli.serving.task_queue import Entry, TaskQueue, failure

ROUND_SECONDS = 0.25
"""Time of a round, estimated from the rounds before it."""
MAX_TEXTS = 16
"""Most texts that are written at a time."""
CLOSE_SECONDS = 2.0
"""Most seconds that `close` waits for a round."""
_FIRST_BYTES = 2_000
"""Bytes of the first round, before any is measured."""


class TextSession(Protocol):
    """Texts of a reranker that are written pass by pass; more can join between passes."""

    def add(self, tasks: Sequence[RerankTask]) -> Mapping[RerankTask, Reply]:
        """Read the prompts of tasks; return the replies of those that get no text."""

    def step(self) -> Mapping[RerankTask, Reply]:
        """Continue all texts by one pass; return the replies of those that ended."""

    def drop(self, task: RerankTask) -> None:
        """Give up a text."""


class SteppedRuntime(RerankRuntime, Protocol):
    """A RerankRuntime whose texts can be written pass by pass."""

    def text_session(self) -> TextSession: ...


class ModelQueue(TaskQueue):
    """A queue in front of a model of this process.

    Args:
        runtime: used by the queue's thread alone.
        max_texts: most texts that are written at a time.
    """

    def __init__(self, runtime: SteppedRuntime, *, max_texts: int = MAX_TEXTS) -> None:
        super().__init__()
        self._runtime = runtime
        self._max_texts = max_texts
        self._round_bytes = float(_FIRST_BYTES)
        self._session = runtime.text_session()
        self._written: dict[RerankTask, Entry] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)

    @property
    def bytes_per_second(self) -> float:
        """Bytes of prompts that the model reads in a second, of the last rounds."""
        return self._round_bytes / ROUND_SECONDS

    def start(self) -> None:
        """Start the thread; called in the event loop that awaits the answers."""
        super().start()
        self._thread.start()

    async def close(self) -> None:
        """Stop after the round that runs, unless it takes longer than CLOSE_SECONDS; tasks without
        an answer are cancelled."""
        with self._changed:
            self._closing = True
            self._wake()
        await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)
        await super().close()

    def _wake(self) -> None:
        self._changed.notify()

    def _work(self) -> None:
        """Answer tasks until the queue is closed; the thread's target."""
        try:
            self._rounds()
        except Exception as error:  # the thread's door: nothing is answered any more
            final = failure(error)
            self._deliver([(entry, final) for entry in list(self._entries.values())])
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self.failed.set_result, final)

    def _rounds(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closing or self._scoring or self._writing or self._written
                )
                if self._closing:
                    return
                room = self._max_texts - len(self._written)
                scoring = self._scoring.take(self._round_bytes)
                joining = self._writing.take(self._round_bytes, room)
                given_up = [task for task, one in self._written.items() if not one.waiters]
            started = time.perf_counter()
            for task in given_up:
                self._session.drop(task)
                del self._written[task]
            self._read(scoring, self._score)
            self._read(joining, self._session.add)
            if self._written:
                self._step()
            self.figures.busy_seconds += time.perf_counter() - started

    def _read(
        self, entries: list[Entry], read: Callable[[list[RerankTask]], Mapping[RerankTask, Reply]]
    ) -> None:
        """Read the prompts of a round, and measure how fast."""
        if not entries:
            return
        self._begin(entries)
        started = time.perf_counter()
        try:
            replies = read([entry.task for entry in entries])
        except Exception as error:  # the thread's door: the requests of the round fail, no others
            self._fail(entries, error)
            return
        refused = {task for task, reply in replies.items() if reply.refusal is not None}  # not read
        size = sum(entry.size for entry in entries if entry.task not in refused)
        rate = size / max(time.perf_counter() - started, 1e-6)
        bytes_now = min(rate * ROUND_SECONDS, 2 * self._round_bytes)  # a short round says little
        if bytes_now > self._round_bytes or size >= self._round_bytes / 2:  # else it had little
            self._round_bytes += (bytes_now - self._round_bytes) / 2
        self._deliver([(entry, replies[entry.task]) for entry in entries if entry.task in replies])
        self._written |= {entry.task: entry for entry in entries if entry.task not in replies}

    def _fail(self, entries: Sequence[Entry], error: Exception) -> None:
        final = failure(error)  # once: it prints
        self._deliver([(entry, final) for entry in entries])

    def _score(self, tasks: list[RerankTask]) -> Mapping[RerankTask, Reply]:
        return dict(zip(tasks, self._runtime.answer(tasks), strict=True))

    def _step(self) -> None:
        """Continue all texts by one pass."""
        try:
            replies = self._session.step()
        except Exception as error:  # the thread's door
            self._fail(list(self._written.values()), error)
            self._written, self._session = {}, self._runtime.text_session()
            return
        # A text whose prompt could not be read may have stayed in the session.
        ended = [(self._written.pop(task, None), reply) for task, reply in replies.items()]
        self._deliver([(entry, reply) for entry, reply in ended if entry is not None])
