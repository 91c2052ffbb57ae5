"""The tasks of all requests: equal ones are joined, and requests take turns."""

import asyncio
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from prism_cli.errors import ModelError
from prism_cli.ports import Reply, RerankTask

_OVERHEAD = 100
"""Bytes that a prompt has behind its document, about."""


@dataclass(slots=True, eq=False)
class Entry:
    """A task with all who wait for it; equal tasks are computed once.

    Attributes:
        size: bytes of its prompt, about: without those of a query that is read for another one.
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


class Lanes:
    """Waiting entries by request; requests take turns."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[Hashable, deque[Entry]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, owner: Hashable, entry: Entry) -> None:
        self._lanes.setdefault(owner, deque()).append(entry)

    def take(self, size: float, count: int = sys.maxsize) -> list[Entry]:
        """Remove and return at most `count` entries of at most `size` bytes, but one at least: one
        of each request in turn. Those that nobody waits for are left out."""
        taken: list[Entry] = []
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


class TaskQueue(ABC):
    """A queue in front of a model, for one event loop.

    Attributes:
        figures: what it did so far.
        queued_bytes: of the prompts that wait or are being answered.
        failed: gets the error after which the model answers nothing more.
    """

    failed: asyncio.Future[ModelError]

    def __init__(self) -> None:
        self.figures = QueueFigures()
        self.queued_bytes = 0
        self._scoring, self._writing = Lanes(), Lanes()
        self._changed = threading.Condition()
        self._entries: dict[RerankTask, Entry] = {}
        self._queries: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    @abstractmethod
    def bytes_per_second(self) -> float:
        """Bytes of prompts that the model reads in a second, as measured last."""

    def start(self) -> None:
        """Begin; called in the event loop that awaits the answers."""
        self._loop = asyncio.get_running_loop()
        self.failed = self._loop.create_future()

    async def close(self) -> None:
        """Cancel the tasks without an answer."""
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
                size = document_size(task.document)
                # A model reads a query once for its documents; for a score before any text.
                if task.query not in self._queries and not task.max_new_tokens:
                    size += byte_length(task.query)
                self._queries[task.query] += 1
                entry = self._entries[task] = Entry(task, size)
                self.queued_bytes += size
            entry.waiters.append(future)
            if not entry.running:
                (self._writing if task.max_new_tokens else self._scoring).add(owner, entry)
                self._wake()
        try:
            return await future
        finally:
            with self._changed:
                entry.waiters.remove(future)
                if not entry.waiters:
                    self._remove(entry)
                    self._wake()  # what nobody waits for is given up

    @abstractmethod
    def _wake(self) -> None:
        """Take note that the entries or their waiters have changed; called with the lock held."""

    def _remove(self, entry: Entry) -> None:
        if self._entries.get(entry.task) is entry:
            del self._entries[entry.task]
            self._queries[entry.task.query] -= 1
            if not self._queries[entry.task.query]:
                del self._queries[entry.task.query]
            self.queued_bytes -= entry.size
            self.figures.cancelled += not entry.running

    def _begin(self, entries: Sequence[Entry]) -> None:
        """Count pairs whose reading begins."""
        now = time.perf_counter()
        self.figures.rounds += 1
        self.figures.pairs += len(entries)
        self.figures.wait_seconds += sum(now - entry.since for entry in entries)

    def _deliver(self, answers: Sequence[tuple[Entry, Reply | Exception]]) -> None:
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


def byte_length(text: str) -> int:
    """Return the length of a text in UTF-8; at once for ASCII, as of one query in many pairs."""
    return len(text) if text.isascii() else len(text.encode())


def document_size(document: str) -> int:
    """Return the bytes that a document adds to the prompts of a query."""
    return _OVERHEAD + byte_length(document)


def failure(error: Exception) -> ModelError:
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
