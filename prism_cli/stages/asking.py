"""Asking a chat model again where its reply cannot be used, each reply being kept as it comes; and
several questions side by side."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from itertools import islice
from typing import Any, TypeVar

from prism_cli.ports import BatchBackend, CallBackend, Reply, Request, Value, request

ATTEMPTS = 3
Result = TypeVar("Result")


def asked_again(
    backend: BatchBackend | CallBackend,
    payload: Any,
    *parts: str,
    attempts: int = ATTEMPTS,
    fault: Callable[[Value], str | None] = lambda value: None,
) -> Generator[Sequence[Request], Sequence[Reply], Reply]:
    """A usable reply, or a refusal that says what came instead, and how often.

    Args:
        backend: takes (payload, attempt).
        parts: the texts that decide the reply, for the request's key.
        fault: why a reply that the backend calls usable is not; None where it is.
    """
    found: list[str] = []
    for attempt in range(attempts):
        number = (f"attempt {attempt}",) if attempt else ()
        (reply,) = yield [request(backend, (payload, attempt), *parts, *number)]
        if reply.refusal is not None:
            return reply
        why = reply.value.get("unusable") or fault(reply.value)
        if why is None:
            return reply
        found.append(why)
    told = "; ".join(f"{count} x {why}" for why, count in Counter(found).items())
    return Reply({}, f"{attempts} replies that could not be used: {told}")


def together(
    works: Sequence[Generator[Sequence[Request], Sequence[Reply], Result]],
) -> Generator[Sequence[Request], Sequence[Reply], list[Result]]:
    """The results of all `works`, in order, their requests being asked at the same time."""
    results: dict[int, Result] = {}
    waiting: dict[int, Sequence[Request]] = {}

    def go_on(place: int, replies: Sequence[Reply] | None) -> None:
        waiting.pop(place, None)
        try:
            # send(None) is what starts a generator
            waiting[place] = works[place].send(replies)  # type: ignore[arg-type]
        except StopIteration as end:
            results[place] = end.value

    for place in range(len(works)):
        go_on(place, None)
    while waiting:
        asked = sorted(waiting.items())
        replies = iter((yield [one for _, requests in asked for one in requests]))
        for place, requests in asked:
            go_on(place, list(islice(replies, len(requests))))
    return [results[place] for place in range(len(works))]
