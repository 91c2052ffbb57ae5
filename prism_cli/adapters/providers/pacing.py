"""Pacing of calls by a provider's limits per minute."""

import asyncio
import time
from collections.abc import Callable

_WINDOW_SECONDS = 5.0
"""Window for limits per minute, so that a minute's calls do not all go out in its first second."""
_LOOK_SECONDS = 1.0


class Pacer:
    """Limits per minute of one provider; None for no limit."""

    def __init__(self, requests: float | None, tokens: float | None) -> None:
        self._requests = _Limit(requests) if requests is not None else None
        self._tokens = _Limit(tokens) if tokens is not None else None

    async def wait(self, tokens: Callable[[], float]) -> None:
        """Wait until the limits allow a call of so many tokens, as estimated by then."""
        if self._requests:
            await self._requests.wait(lambda: 1)
        if self._tokens:
            await self._tokens.wait(tokens)

    def settle(self, expected: int, used: int) -> None:
        """Count the tokens that a call has used in place of those that it waited for."""
        if self._tokens:
            self._tokens.add(used - expected)


class _Limit:
    """A leaky bucket that takes what a window allows, and is empty at `_empty_at`."""

    def __init__(self, per_minute: float) -> None:
        self._rate = per_minute / 60
        self._window = max(_WINDOW_SECONDS, 1 / self._rate)  # at least one call
        self._empty_at = 0.0
        self._turn = asyncio.Lock()

    async def wait(self, amount: Callable[[], float]) -> None:
        """Wait until the bucket has room, in the order of the calls; an amount that is larger than
        the bucket runs through it."""
        async with self._turn:
            self._empty_at = max(self._empty_at, time.monotonic())
            while (at := self._empty_at - self._window + amount() / self._rate) > time.monotonic():
                await asyncio.sleep(min(at - time.monotonic(), _LOOK_SECONDS))
            self.add(amount())

    def add(self, amount: float) -> None:
        """Fill the bucket; less than zero takes out again."""
        self._empty_at += amount / self._rate
