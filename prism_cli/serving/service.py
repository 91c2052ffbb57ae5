"""A loaded model that ranks for many callers: admission, deadlines, cancellation.

The HTTP server and the MCP server share it.
"""

import asyncio
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.errors import ArgumentError, ModelError, PrismError
from prism_cli.ports import Reply, RerankTask
from prism_cli.rows.candidates import Candidate
from prism_cli.serving.task_queue import byte_length, document_size

if TYPE_CHECKING:  # imported with the model: an agent waits for the first message of `prism mcp`
    from prism_cli.ranking import Ranking
    from prism_cli.serving.ranker import Observer, Ranker
    from prism_cli.serving.task_queue import TaskQueue

DEADLINE = 60.0
"""Most seconds of a request."""
TEXT_SHARE = 0.9
"""Share of a request's time within which its scores are expected, and after which texts are given
up; the rest is for the reply without them."""
MAX_QUERY_BYTES = 256 * 1024
"""Most bytes of a query."""
MAX_QUEUED_BYTES = 256 * 1024 * 1024
"""Bytes of queries and documents without a score at which requests are refused."""


class TooLargeError(ArgumentError):
    """More documents, or more bytes, than a request may have."""


class UnavailableError(PrismError):
    """The model is loading, or the server is stopping."""


class QueueFullError(PrismError):
    """The request would not be answered by its deadline.

    Args:
        retry_after: seconds after which it would.
    """

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"the queue is full: expected room for this request, found none; retry in "
            f"{retry_after} s"
        )


class DeadlineError(PrismError):
    """The request was not answered in time."""


class SlowBodyError(PrismError):
    """The body of the request did not arrive in time."""


@dataclass(eq=False)
class Ticket:
    """An admitted request.

    Attributes:
        left: bytes of prompts without a score, as the queue counts them.
        turn: those of a document, on average, of which the queue reads one in each turn.
        until: end of its time, on the clock of the event loop.
        query: those of them that the first document's score includes.
        read: tokens of the prompts that were read, for scores and for texts.
    """

    left: int
    turn: float
    until: float
    query: int = 0
    read: int = 0


class Service:
    """Ranks documents for many callers with one model.

    Args:
        deadline: most seconds of a request.

    Attributes:
        tickets: requests in flight.
        failure: why the model could not be loaded, or answers nothing more.
    """

    def __init__(self, deadline: float = DEADLINE) -> None:
        self.deadline = deadline
        self.tickets: set[Ticket] = set()
        self._ranker: Ranker | None = None
        self._stopping = False
        self.failure: PrismError | None = None

    @property
    def ready(self) -> bool:
        """True where requests are accepted."""
        return self._ranker is not None and self.failure is None and not self._stopping

    @property
    def loading(self) -> bool:
        """True until the model is there, or cannot be loaded."""
        return self._ranker is None and self.failure is None

    @property
    def max_tokens(self) -> object:
        """Most tokens of the model's prompts; None until it is loaded."""
        return None if self._ranker is None else self._ranker.max_tokens

    @property
    def queue(self) -> "TaskQueue | None":
        """The queue of the model; None until it is loaded."""
        return None if self._ranker is None else self._ranker.queue

    async def load(self, load: Callable[[], "Ranker"]) -> None:
        """Run `load` in a thread; accept requests for the model that it returns."""
        try:
            ranker = await asyncio.to_thread(load)
        except PrismError as error:
            self.failure = error
            return
        except Exception as error:  # the thread's door
            traceback.print_exception(error)
            self.failure = ModelError(f"the model could not be loaded: {type(error).__name__}")
            return
        ranker.queue.start()
        self._ranker = ranker

    async def wait_for_failure(self) -> None:
        """Return when the model could not be loaded, or answers nothing more."""
        if self._ranker is not None:
            self.failure = await self._ranker.queue.failed

    async def close(self) -> None:
        """Stop the model's thread after its round."""
        self.drain()
        if self._ranker is not None:
            await self._ranker.queue.close()

    def drain(self) -> None:
        """Accept no more requests; those in flight go on."""
        self._stopping = True

    async def rank(
        self,
        query: str,
        documents: Sequence[Candidate],
        options: RankOptions,
        *,
        timeout: float | None = None,
        observe: "Observer | None" = None,
    ) -> "tuple[Ranking, Ticket]":
        """Return the ranking of a request; cancelling the call gives its work up.

        Texts that are not written in time are left out, with the reason "deadline".

        Args:
            timeout: seconds, where less than the deadline.

        Raises:
            TooLargeError, UnavailableError, QueueFullError: it was not begun.
            DeadlineError: its scores were not there in time.
            RowError, ModelError: as for `Ranker.rank`.
        """
        if self.failure is not None:
            raise self.failure
        if self._ranker is None or self._stopping:
            raise UnavailableError(
                "the server is stopping" if self._stopping else "the model is still loading"
            )
        if (size := byte_length(query)) > MAX_QUERY_BYTES:
            raise TooLargeError(
                f"query: expected at most {MAX_QUERY_BYTES:,} bytes, found {size:,}"
            )
        seconds = min(self.deadline, timeout or self.deadline)
        until = asyncio.get_running_loop().time() + seconds
        left = size + sum(document_size(one.text) for one in documents)
        ticket = Ticket(left, left / max(1, len(documents)), until, size)
        self._admit(ticket, self._ranker.queue)
        self.tickets.add(ticket)

        async def observed(task: RerankTask, reply: Reply) -> None:
            if not task.max_new_tokens:
                ticket.left -= document_size(task.document) + ticket.query
                ticket.query = 0
            ticket.read += reply.usage.input_tokens
            if observe is not None:
                await observe(task, reply)

        try:
            async with asyncio.timeout_at(until):
                ranked = await self._ranker.rank(
                    query, documents, options, observed, text_seconds=TEXT_SHARE * seconds
                )
                return ranked, ticket
        except TimeoutError:
            raise DeadlineError(
                f"expected an answer within {seconds:g} s, found none; send fewer documents"
            ) from None
        finally:
            self.tickets.discard(ticket)

    def _admit(self, ticket: Ticket, queue: "TaskQueue") -> None:
        """Raise where a request would be late, or would make one late that is in flight.

        A request delays those that have no more left by as much as they have left, unless that is
        their last turn. Others are delayed less, so that large requests keep no small one out; nor
        does one that is late without it.

        Raises:
            QueueFullError: it would; never if no request is in flight.
        """
        if not self.tickets:
            return
        now, rate = asyncio.get_running_loop().time(), queue.bytes_per_second
        waiting = [*self.tickets, ticket]
        obstacles: list[float] = []  # seconds until each is gone
        for one, wait in _waits(waiting, rate):
            seconds = one.until - now
            late = wait - TEXT_SHARE * seconds
            if one is ticket:
                if late > 0:
                    obstacles.append(min(late, seconds))
                break
            without = wait - one.left / rate  # without the new one
            if late > 0 and one.left > one.turn and without <= seconds:
                obstacles.append(without)
        if sum(one.left for one in waiting) > MAX_QUEUED_BYTES:
            obstacles.append(0)
        if obstacles:
            raise QueueFullError(max(1, ceil(max(obstacles))))


def _waits(tickets: Sequence[Ticket], rate: float) -> Iterator[tuple[Ticket, float]]:
    """Yield each request, those with least left first, and the seconds until its last score.

    Requests take turns: one of n bytes waits for at most n bytes of each other one.
    """
    ended = 0
    for index, one in enumerate(sorted(tickets, key=lambda one: one.left)):
        yield one, (ended + one.left * (len(tickets) - index)) / rate
        ended += one.left
