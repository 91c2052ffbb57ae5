"""Retries of unusable replies of a chat model; and concurrent requests of one row."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from itertools import islice
from typing import Any, TypeVar

from prism_cli.domain.defaults import ATTEMPTS
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request, Value, request

Result = TypeVar("Result")


def request_with_retries(
    backend: BatchBackend | CallBackend,
    payload: Any,
    *parts: str,
    attempts: int = ATTEMPTS,
    fault: Callable[[Value], str | None] = lambda value: None,
) -> Generator[Sequence[Request], Sequence[Reply], Reply]:
    """Return a usable reply, or a refusal with the reasons why the replies were unusable and their
    counts.

    Args:
        backend: takes (payload, attempt).
        parts: the texts that determine the reply, for the request's key.
        fault: returns why a reply that the backend accepts is unusable; None if it is usable.
    """
    reasons: list[str] = []
    for attempt in range(attempts):
        number = (f"attempt {attempt}",) if attempt else ()
        (reply,) = yield [request(backend, (payload, attempt), *parts, *number)]
        if reply.refusal is not None:
            return reply
        reason = reply.value.get("unusable") or fault(reply.value)
        if reason is None:
            return reply
        reasons.append(reason)
    counts = "; ".join(f"{count} x {reason}" for reason, count in Counter(reasons).items())
    return Reply({}, f"{attempts} replies that could not be used: {counts}")


def gather(
    works: Sequence[Generator[Sequence[Request], Sequence[Reply], Result]],
) -> Generator[Sequence[Request], Sequence[Reply], list[Result]]:
    """Return the results of all `works`, in order; their requests are sent at the same time."""
    results: dict[int, Result] = {}
    waiting: dict[int, Sequence[Request]] = {}

    def advance(index: int, replies: Sequence[Reply] | None) -> None:
        waiting.pop(index, None)
        try:
            # send(None) starts a generator
            waiting[index] = works[index].send(replies)  # type: ignore[arg-type]
        except StopIteration as stop:
            results[index] = stop.value

    for index in range(len(works)):
        advance(index, None)
    while waiting:
        pending = sorted(waiting.items())
        replies = iter((yield [request for _, requests in pending for request in requests]))
        for index, requests in pending:
            advance(index, list(islice(replies, len(requests))))
    return [results[index] for index in range(len(works))]


def continued(
    work: Generator[Sequence[Request], Sequence[Reply], None], replies: Sequence[Reply]
) -> Generator[Sequence[Request], Sequence[Reply], None]:
    """Continue `work`, whose first requests have the answers `replies`."""
    try:
        while True:
            replies = yield work.send(replies)
    except StopIteration:
        return
