"""A queue whose tasks an engine answers that schedules them itself, such as vLLM.

The engine gets a bounded number of tasks, so that those of a small request soon have their turn.
"""

import asyncio
import time
from functools import partial
from math import inf
from typing import Protocol

from prism_cli.errors import ModelError
from prism_cli.ports import Reply, RerankTask
from prism_cli.serving.task_queue import Entry, TaskQueue, failure

MAX_READING = 64
"""Most pairs that the engine scores at a time."""
MAX_TEXTS = 64
"""Most texts that it writes at a time."""
MEASURE_SECONDS = 1.0
"""Time over which the speed is measured."""
_FIRST_RATE = 1e6


class Engine(Protocol):
    """A reranker that answers many tasks at a time."""

    @property
    def failure(self) -> ModelError | None:
        """Why it answers nothing more."""

    async def reply(self, task: RerankTask) -> Reply:
        """Return the reply for a task; cancelling the call gives the task up."""


class EngineQueue(TaskQueue):
    """A queue in front of an engine.

    Args:
        max_reading: most pairs that are scored at a time.
        max_texts: most texts that are written at a time.
    """

    def __init__(
        self, engine: Engine, *, max_reading: int = MAX_READING, max_texts: int = MAX_TEXTS
    ) -> None:
        super().__init__()
        self._engine = engine
        self._kinds = ((self._scoring, max_reading), (self._writing, max_texts))
        self._running: tuple[dict[Entry, asyncio.Task[None]], ...] = ({}, {})
        self._rate = _FIRST_RATE
        self._read_bytes = 0
        self._measured_from = self._busy_from = 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes of prompts that the engine reads in a second, measured under load."""
        return self._rate

    async def close(self) -> None:
        """Give up all tasks."""
        works = [work for running in self._running for work in running.values()]
        for work in works:
            work.cancel()
        await super().close()
        await asyncio.gather(*works, return_exceptions=True)

    def _wake(self) -> None:
        """Give up what nobody waits for, and begin as many tasks as there is room for."""
        assert self._loop is not None
        self._count_busy()
        for (lanes, most), running in zip(self._kinds, self._running, strict=True):
            for entry, work in running.items():
                if not entry.waiters:
                    work.cancel()
            begun = lanes.take(inf, most - len(running))
            if begun:
                self._begin(begun)
            for entry in begun:
                work = running[entry] = self._loop.create_task(self._answer(entry))
                work.add_done_callback(partial(self._done, entry))

    async def _answer(self, entry: Entry) -> None:
        try:
            reply: Reply | Exception = await self._engine.reply(entry.task)
        except Exception as error:  # the engine's door
            reply = failure(error)
            if (final := self._engine.failure) is not None and not self.failed.done():
                self.failed.set_result(final)
        self._deliver([(entry, reply)])

    def _done(self, entry: Entry, _work: asyncio.Task[None]) -> None:
        self._count_busy()
        writes = bool(entry.task.max_new_tokens)
        del self._running[writes][entry]
        self._read_bytes += 0 if writes else entry.size
        with self._changed:
            self._wake()

    def _count_busy(self) -> None:
        """Add the time since the last change, and measure the speed from time to time."""
        now = time.perf_counter()
        if any(self._running):
            self.figures.busy_seconds += now - self._busy_from
        self._busy_from = now
        busy = self.figures.busy_seconds - self._measured_from
        if busy < MEASURE_SECONDS:
            return
        rate = self._read_bytes / busy
        if rate > self._rate or self._scoring:  # else it had little to do
            self._rate += (rate - self._rate) / 2
        self._measured_from, self._read_bytes = self.figures.busy_seconds, 0
