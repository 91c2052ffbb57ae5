"""Pacing of calls by a provider's limits per minute."""

import asyncio

from aiolimiter import AsyncLimiter

_WINDOW_SECONDS = 5.0
"""Window for limits per minute, so that a minute's calls do not all go out in its first second."""


class Pacer:
    """Limits per minute of one provider; None for no limit."""

    def __init__(self, requests: float | None, tokens: float | None) -> None:
        self._requests = _limiter(requests)
        self._tokens = _limiter(tokens)
        self._tokens_turn = asyncio.Lock()

    async def wait(self, tokens: float) -> None:
        """Wait until the limits allow a call of so many tokens."""
        if self._requests:
            await self._requests.acquire()
        if self._tokens:
            async with self._tokens_turn:  # portions of several calls would delay all of them
                while tokens > 0:
                    await self._tokens.acquire(min(tokens, self._tokens.max_rate))
                    tokens -= self._tokens.max_rate


def _limiter(per_minute: float | None) -> AsyncLimiter | None:
    if per_minute is None:
        return None
    window = max(_WINDOW_SECONDS, 60 / per_minute)  # at least one call
    return AsyncLimiter(per_minute * window / 60, window)
