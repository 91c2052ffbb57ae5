"""The tasks of all requests, answered by one thread with the model in short rounds.

A round takes one task of each request in turn, and as many as the model reads in ROUND_SECONDS, so
that a request of one document waits for no request of a thousand. Between two passes of the texts
that are being written there is one such round.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prism_cli.errors import ModelError
from prism_cli.ports import Reply, RerankRuntime, RerankTask

ROUND_SECONDS = 0.25
"""Time of a round, estimated from the rounds before it."""
MAX_TEXTS = 16
"""Most texts that are written at a time."""
_FIRST_BYTES = 2_000
"""Bytes of the first round, before any is measured."""
_OVERHEAD = 100
"""Bytes that a prompt has besides query and document, about."""


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


@dataclass(slots=True, eq=False)
class _Entry:
    """A task with all who wait for it; equal tasks are computed once.

    Attributes:
        size: bytes of its prompt, about.
        running: taken by the thread.
    """

    task: RerankTask
    size: int
    waiters: list[asyncio.Future[Reply]] = field(default_factory=list)
    running: bool = False
    since: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class QueueFigures:
    """Sums over the work of a queue.

    Attributes:
        busy_seconds: time that the model worked.
        wait_seconds: time that pairs waited, all together.
        rounds, pairs: rounds of reading, and the pairs read in them.
        tokens_read, tokens_written: tokens of prompts and of texts.
        cancelled: pairs given up before they were read.
    """

    busy_seconds: float = 0.0
    wait_seconds: float = 0.0
    rounds: int = 0
    pairs: int = 0
    tokens_read: int = 0
    tokens_written: int = 0
    cancelled: int = 0


class _Lanes:
    """Waiting entries by request; requests take turns."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[Hashable, deque[_Entry]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, owner: Hashable, entry: _Entry) -> None:
        self._lanes.setdefault(owner, deque()).append(entry)

    def take(self, size: float, count: int = sys.maxsize) -> list[_Entry]:
        """Remove and return at most `count` entries of at most `size` bytes, but one at least: one
        of each request in turn. Those that nobody waits for are left out."""
        taken: list[_Entry] = []
        while self._lanes and len(taken) < count:
            owner, lane = self._lanes.popitem(last=False)
            while lane and (lane[0].running or not lane[0].waiters):
                lane.popleft()
            if not lane:
                continue
            if taken and lane[0].size > size:
                self._lanes[owner] = lane
                self._lanes.move_to_end(owner, last=False)
                break
            entry = lane.popleft()
            entry.running = True
            taken.append(entry)
            size -= entry.size
            if lane:
                self._lanes[owner] = lane
        return taken


class ModelQueue:
    """A queue in front of a model, for one event loop.

    Args:
        runtime: used by the queue's thread alone.
        max_texts: most texts that are written at a time.

    Attributes:
        figures: what it did so far.
        queued_bytes: of the prompts that wait or are being answered.
    """

    def __init__(self, runtime: SteppedRuntime, *, max_texts: int = MAX_TEXTS) -> None:
        self._runtime = runtime
        self._max_texts = max_texts
        self.figures = QueueFigures()
        self.queued_bytes = 0
        self._round_bytes = float(_FIRST_BYTES)
        self._changed = threading.Condition()
        self._entries: dict[RerankTask, _Entry] = {}
        self._scoring, self._writing = _Lanes(), _Lanes()
        self._session = runtime.text_session()
        self._written: dict[RerankTask, _Entry] = {}
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)

    @property
    def bytes_per_second(self) -> float:
        """Bytes of prompts that the model reads in a second, of the last rounds."""
        return self._round_bytes / ROUND_SECONDS

    def start(self) -> None:
        """Start the thread; called in the event loop that awaits the answers."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Stop after the round that runs; tasks without an answer are cancelled."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        for entry in list(self._entries.values()):
            for future in entry.waiters:
                future.cancel()

    async def answer(self, owner: Hashable, task: RerankTask) -> Reply:
        """Return the reply for a task of the request `owner`.

        A cancelled call gives the task up, unless another one waits for it.

        Raises:
            ModelError: the model failed.
        """
        assert self._loop is not None, "start() comes first"
        future: asyncio.Future[Reply] = self._loop.create_future()
        with self._changed:
            entry = self._entries.get(task)
            if entry is None:
                size = _OVERHEAD + len(task.query.encode()) + len(task.document.encode())
                entry = self._entries[task] = _Entry(task, size)
                self.queued_bytes += size
            entry.waiters.append(future)
            if not entry.running:
                (self._writing if task.max_new_tokens else self._scoring).add(owner, entry)
                self._changed.notify()
        try:
            return await future
        finally:
            with self._changed:
                entry.waiters.remove(future)
                if not entry.waiters:
                    self._remove(entry)
                    self._changed.notify()  # a text that nobody waits for is given up

    def _remove(self, entry: _Entry) -> None:
        if self._entries.get(entry.task) is entry:
            del self._entries[entry.task]
            self.queued_bytes -= entry.size
            self.figures.cancelled += not entry.running

    def _work(self) -> None:
        """Answer tasks until the queue is closed; the thread's target."""
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
        self, entries: list[_Entry], read: Callable[[list[RerankTask]], Mapping[RerankTask, Reply]]
    ) -> None:
        """Read the prompts of a round, and measure how fast."""
        if not entries:
            return
        started = time.perf_counter()
        try:
            replies = read([entry.task for entry in entries])
        except Exception as error:  # the thread's door: the requests of the round fail, no others
            self._deliver([(entry, _failure(error)) for entry in entries])
            return
        self.figures.rounds += 1
        self.figures.pairs += len(entries)
        self.figures.wait_seconds += sum(started - entry.since for entry in entries)
        rate = sum(entry.size for entry in entries) / max(time.perf_counter() - started, 1e-6)
        bytes_now = min(rate * ROUND_SECONDS, 2 * self._round_bytes)  # a short round says little
        self._round_bytes += (bytes_now - self._round_bytes) / 2
        self._deliver([(entry, replies[entry.task]) for entry in entries if entry.task in replies])
        self._written |= {entry.task: entry for entry in entries if entry.task not in replies}

    def _score(self, tasks: list[RerankTask]) -> Mapping[RerankTask, Reply]:
        return dict(zip(tasks, self._runtime.answer(tasks), strict=True))

    def _step(self) -> None:
        """Continue all texts by one pass."""
        try:
            replies = self._session.step()
        except Exception as error:  # the thread's door
            self._deliver([(entry, _failure(error)) for entry in self._written.values()])
            self._written, self._session = {}, self._runtime.text_session()
            return
        self._deliver([(self._written.pop(task), reply) for task, reply in replies.items()])

    def _deliver(self, answers: Sequence[tuple[_Entry, Reply | Exception]]) -> None:
        """Hand replies or errors to the event loop."""
        resolved: list[tuple[asyncio.Future[Reply], Reply | Exception]] = []
        with self._changed:
            for entry, answer in answers:
                self._remove(entry)
                if isinstance(answer, Reply):
                    self.figures.tokens_read += answer.usage.input_tokens
                    self.figures.tokens_written += answer.usage.output_tokens
                resolved += [(future, answer) for future in entry.waiters]
        if self._loop is not None and resolved:
            self._loop.call_soon_threadsafe(_resolve, resolved)


def _failure(error: Exception) -> ModelError:
    """Return the error for callers; an unexpected one is printed with its traceback."""
    if isinstance(error, ModelError):
        return error
    traceback.print_exception(error)
    return ModelError(f"the model failed: {type(error).__name__}; see the server's log")


def _resolve(answers: Sequence[tuple[asyncio.Future[Reply], Reply | Exception]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
