"""A queue whose tasks an engine answers that schedules them itself, such as vLLM.

The engine gets as many pairs as it reads in READ_SECONDS, so that those of a small request soon
have their turn. The speed is measured: while the engine has room for more, it is higher with more
pairs, and their number grows until they take that time.
"""

import asyncio
import sys
import time
from functools import partial
from typing import Protocol

from prism_cli.errors import ModelError
from prism_cli.ports import Reply, RerankTask
from prism_cli.serving.task_queue import Entry, TaskQueue, failure

READ_SECONDS = 0.5
"""Time that the pairs which the engine scores take together, estimated."""
MAX_TEXTS = 64
"""Most texts that it writes at a time."""
MEASURE_SECONDS = 0.25
"""Shortest time over which the speed is measured."""
_FIRST_RATE = 8_000.0
"""Bytes per second, before any is measured."""


class Engine(Protocol):
    """A reranker that answers many tasks at a time."""

    @property
    def failure(self) -> ModelError | None:
        """Why it answers nothing more."""

    async def reply(self, task: RerankTask) -> Reply:
        """Return the reply for a task; cancelling the call gives the task up."""

    def close(self) -> None:
        """End its processes."""


class EngineQueue(TaskQueue):
    """A queue in front of an engine.

    Args:
        max_texts: most texts that are written at a time.
    """

    def __init__(self, engine: Engine, *, max_texts: int = MAX_TEXTS) -> None:
        super().__init__()
        self._engine = engine
        self._max_texts = max_texts
        self._running: dict[Entry, asyncio.Task[None]] = {}
        self._texts = 0
        self._reading_bytes = 0
        self._rate = _FIRST_RATE
        self._read_bytes = 0
        self._measured_from = self._busy_from = 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes of prompts that the engine reads in a second, measured under load."""
        return self._rate

    async def close(self) -> None:
        """Give up all tasks, and close the engine."""
        works = list(self._running.values())
        for work in works:
            work.cancel()
        await super().close()
        await asyncio.gather(*works, return_exceptions=True)
        await asyncio.to_thread(self._engine.close)

    def _wake(self) -> None:
        """Give up what nobody waits for, and begin as many tasks as there is room for."""
        assert self._loop is not None
        self._count_busy()
        for entry, work in self._running.items():
            if not entry.waiters:
                work.cancel()
        room = self._rate * READ_SECONDS - self._reading_bytes
        begun = self._writing.take(sys.maxsize, self._max_texts - self._texts)
        if room > 0:
            begun += self._scoring.take(room)
        if begun:
            self._begin(begun)
        for entry in begun:
            self._count(entry, 1)
            work = self._running[entry] = self._loop.create_task(self._answer(entry))
            work.add_done_callback(partial(self._done, entry))

    def _count(self, entry: Entry, sign: int) -> None:
        if entry.task.max_new_tokens:
            self._texts += sign
        else:
            self._reading_bytes += sign * entry.size

    async def _answer(self, entry: Entry) -> None:
        try:
            reply: Reply | Exception = await self._engine.reply(entry.task)
        except Exception as error:  # the engine's door
            reply = failure(error)
            if (final := self._engine.failure) is not None and not self.failed.done():
                self.failed.set_result(final)
        if isinstance(reply, Reply) and reply.refusal is None and not entry.task.max_new_tokens:
            self._read_bytes += entry.size  # a refused pair is not read
        self._deliver([(entry, reply)])

    def _done(self, entry: Entry, _work: asyncio.Task[None]) -> None:
        self._count_busy()
        del self._running[entry]
        self._count(entry, -1)
        with self._changed:
            self._wake()

    def _count_busy(self) -> None:
        """Add the time since the last change, and measure the speed from time to time."""
        now = time.perf_counter()
        if self._running:
            self.figures.busy_seconds += now - self._busy_from
        self._busy_from = now
        if not (self._reading_bytes or self._read_bytes):  # only texts, or pairs that are refused
            self._measured_from = self.figures.busy_seconds
        busy = self.figures.busy_seconds - self._measured_from
        if busy < MEASURE_SECONDS or not self._read_bytes:
            return
        rate = self._read_bytes / busy
        if rate > self._rate or self._scoring:  # else it had little to do
            self._rate += (rate - self._rate) / 2
        self._measured_from, self._read_bytes = self.figures.busy_seconds, 0
