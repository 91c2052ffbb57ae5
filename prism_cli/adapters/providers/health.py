"""How well a provider does: how many calls it bears, when to wait, when it is out of order."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prism_cli.errors import PrerequisiteError, ProviderError

BREAKER_FAILURES = 10
"""Failures in succession, over all of a provider's calls, that open the circuit breaker."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0
_BACK_OFF_SECONDS = 1.0


class Health:
    """One provider's state in this run.

    Args:
        name: the provider's.
        concurrency: calls in flight at the most; fewer after 429, and more again as calls succeed.
        deadline_seconds: without one success for so long, and BREAKER_FAILURES in succession, the
            provider is given up for this run.
    """

    def __init__(self, name: str, concurrency: int, deadline_seconds: float) -> None:
        self._name = name
        self._most = concurrency
        self._bears = float(concurrency)
        self._deadline = deadline_seconds
        self._in_flight = 0
        self._room = asyncio.Condition()
        self._failures = 0
        self._last = ""
        self._failing_since = 0.0
        self._paused_until = 0.0
        self._reduced_at = 0.0
        self.answered = False
        """Whether a call was answered in this run."""
        self.down = ""
        """Why the provider is not asked any more; "" while it is."""

    @asynccontextmanager
    async def slot(self, give_up_at: float) -> AsyncIterator[None]:
        """For the block a place among the calls in flight, after the end of a pause.

        Args:
            give_up_at: on the monotonic clock.

        Raises:
            ProviderError: the pause lasts longer than that.
            PrerequisiteError: the provider is out of order.
        """
        async with self._room:
            await self._room.wait_for(lambda: self._in_flight < int(self._bears))
            self._in_flight += 1
        try:
            await self._pause_over(give_up_at)
            yield
        finally:
            async with self._room:
                self._in_flight -= 1
                self._room.notify(2)

    async def _pause_over(self, give_up_at: float) -> None:
        while not self.down and (left := self._paused_until - time.monotonic()) > 0:
            if time.monotonic() + left > give_up_at:
                raise ProviderError(
                    f"{self._name}: {self._last}; no calls for {left:.0f} s more, longer than a "
                    "question waits; gave up"
                )
            await asyncio.sleep(min(left, 1.0))
        if self.down:
            raise PrerequisiteError(self.down)

    def succeeded(self) -> None:
        """A call was answered."""
        self.answered = True
        self._failures = 0
        self._bears = min(self._most, self._bears + 1 / max(self._bears, 1.0))

    def failed(self, why: str, *, too_many: bool, wait: float | None) -> None:
        """A call failed for now.

        Args:
            too_many: the provider said so (429).
            wait: seconds that it asked to wait; None where it did not.
        """
        now = time.monotonic()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        self._last = why
        if too_many and now - self._reduced_at >= _BACK_OFF_SECONDS:
            self._bears, self._reduced_at = max(1.0, self._bears / 2), now
        if wait is not None:
            self._paused_until = max(self._paused_until, now + wait)
        if self._failures >= BREAKER_FAILURES:
            if now - self._failing_since > self._deadline:
                self.down = (
                    f"{self._name} has answered nothing for {now - self._failing_since:.0f} s "
                    f"and {self._failures} calls in succession (last: {why}); it is asked no more "
                    "in this run"
                )
            over = self._failures - BREAKER_FAILURES
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (over // self._most))
            self._paused_until = max(self._paused_until, now + pause)
