"""Packing of questions into calls: those on one query share a call, up to the server's limits."""

from collections.abc import Iterable

SAFETY_SHARE = 0.9
"""Share of a limit that is used: the token estimate may be about 10 % too low."""


def pack_calls(
    sized: Iterable[tuple[str, int]], max_questions: int, max_tokens: float
) -> list[list[int]]:
    """Return indices grouped by call; a query's questions fill one call before the next is opened.

    Args:
        sized: (query, tokens) of each question; a question above `max_tokens` gets its own call.
        max_questions: questions per call.
        max_tokens: tokens per call; infinite for no limit.
    """
    calls: list[list[int]] = []
    filling: dict[str, tuple[list[int], int]] = {}
    for index, (query, size) in enumerate(sized):
        call, used = filling.get(query, ([], 0))
        if not call or len(call) >= max_questions or used + size > max_tokens:
            call, used = [], 0
            calls.append(call)
        call.append(index)
        filling[query] = (call, used + size)
    return calls
