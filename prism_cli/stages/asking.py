"""Asking a chat model again where its reply cannot be used; each reply is kept as it comes."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import Any

from prism_cli.ports import BatchBackend, CallBackend, Reply, Request, Value, request

ATTEMPTS = 3


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
