"""Ranking for requests that share one model: `prism_cli.ranking` with the replies of a queue."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Hashable, Sequence
from itertools import accumulate
from typing import Protocol, cast

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.generator_drivers import drive
from prism_cli.ports import Reply, Request, RerankRuntime, RerankTask
from prism_cli.query_texts import NOT_IN_TIME
from prism_cli.ranking import Ranking, ranking
from prism_cli.rows.candidates import Candidate
from prism_cli.serving.task_queue import TaskQueue

Observer = Callable[[RerankTask, Reply], Awaitable[None]]
"""Called with each reply as soon as it is there."""
LONG = 20_000
"""Characters of pairs that the event loop works on in one turn; a thread tokenizes the others."""


class SplittingRuntime(Protocol):
    """A runtime that reads long documents in parts."""

    def steps(
        self, task: RerankTask
    ) -> Generator[Sequence[RerankTask], Sequence[Reply], Reply]: ...


class Ranker:
    """Ranks documents for requests, all at once.

    Args:
        runtime: makes the requests; a WindowedReranker, or the queue's own runtime.
        queue: answers their tasks.
    """

    def __init__(self, runtime: RerankRuntime, queue: TaskQueue) -> None:
        self._runtime, self.queue = runtime, queue

    @property
    def max_tokens(self) -> object:
        """Most tokens of a prompt."""
        return self._runtime.figures["max_tokens"]

    async def rank(
        self,
        query: str,
        documents: Sequence[Candidate],
        options: RankOptions,
        observe: Observer | None = None,
        *,
        text_seconds: float | None = None,
    ) -> Ranking:
        """Return the ranking of one request; cancelling the call gives its work up.

        Args:
            text_seconds: seconds from now after which texts are given up.

        Raises:
            RowError: the query is too long for the model's prompt.
            ModelError: the model failed.
        """
        owner = object()
        clock = asyncio.get_running_loop().time
        until = None if text_seconds is None else clock() + text_seconds
        given_up = False
        # In a thread: documents are tokenized there, and texts compared with them. One at a time:
        # a large request leaves the other threads to small ones.
        thread = asyncio.Lock()

        def late() -> bool:
            return given_up or (until is not None and clock() > until)

        work = ranking(self._runtime, query, documents, options, scores_first=True, late=late)

        async def reply(task: RerankTask, in_thread: bool) -> Reply:
            try:
                async with asyncio.timeout_at(until if task.max_new_tokens else None):
                    return await self._reply(owner, task, observe, thread if in_thread else None)
            except TimeoutError:
                return NOT_IN_TIME

        async def answered(requests: Sequence[Request]) -> list[Reply]:
            tasks = [one.payload for one in requests]
            sizes = accumulate(len(task.query) + len(task.document) for task in tasks)
            calls = [reply(task, size > LONG) for task, size in zip(tasks, sizes, strict=True)]
            return await _all(calls)

        try:
            return await drive(work, answered, thread=thread)
        finally:
            given_up = True

    async def _reply(
        self,
        owner: Hashable,
        task: RerankTask,
        observe: Observer | None,
        thread: asyncio.Lock | None,
    ) -> Reply:
        if hasattr(self._runtime, "steps"):
            steps = cast("SplittingRuntime", self._runtime).steps(task)
            reply = await drive(steps, lambda tasks: self._answers(owner, tasks), thread=thread)
        else:
            reply = await self.queue.answer(owner, task)
        if observe is not None:
            await observe(task, reply)
        return reply

    async def _answers(self, owner: Hashable, tasks: Sequence[RerankTask]) -> list[Reply]:
        return await _all([self.queue.answer(owner, task) for task in tasks])


async def _all(calls: Sequence[Awaitable[Reply]]) -> list[Reply]:
    """Await calls together; where one fails or this is cancelled, the others are cancelled."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
