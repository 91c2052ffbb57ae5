"""Which questions share a call: those on one query, up to the server's limits."""

from collections.abc import Iterable

SURE = 0.9
"""Share of a limit that is used: our estimate of tokens may be short by about a tenth."""


def packed(sized: Iterable[tuple[str, int]], most: int, limit: float) -> list[list[int]]:
    """Indices by call: neighbours of one query fill a call before the next is opened.

    Args:
        sized: (query, tokens) of each question; one that is over the limit has a call of its own.
        most: questions a call.
        limit: tokens a call; infinite for none.
    """
    calls: list[list[int]] = []
    filling: dict[str, tuple[list[int], int]] = {}
    for index, (query, size) in enumerate(sized):
        call, used = filling.get(query, ([], 0))
        if not call or len(call) >= most or used + size > limit:
            call, used = [], 0
            calls.append(call)
        call.append(index)
        filling[query] = (call, used + size)
    return calls
