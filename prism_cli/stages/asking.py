"""Asking a chat model again where its reply cannot be used; each reply is kept as it comes."""

from collections.abc import Generator, Sequence
from typing import Any

from prism_cli.ports import BatchBackend, CallBackend, Reply, Request, request

ATTEMPTS = 3


def asked_again(
    backend: BatchBackend | CallBackend, payload: Any, *parts: str, attempts: int = ATTEMPTS
) -> Generator[Sequence[Request], Sequence[Reply], Reply]:
    """A usable reply, or a refusal that says what came instead.

    Args:
        backend: takes (payload, attempt).
        parts: the texts that decide the reply, for the request's key.
    """
    why = ""
    for attempt in range(attempts):
        number = (f"attempt {attempt}",) if attempt else ()
        (reply,) = yield [request(backend, (payload, attempt), *parts, *number)]
        if "unusable" not in reply.value:
            return reply
        why = reply.value["unusable"]
    return Reply({}, f"{attempts} replies that could not be used; the last: {why}")
