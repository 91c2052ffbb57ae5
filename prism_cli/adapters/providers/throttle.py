"""How well a provider does: how many calls it bears, when to wait, when it is out of order."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prism_cli.adapters.providers.replies import AgainError, UnreachableError, printable
from prism_cli.errors import PrerequisiteError, ProviderError

BREAKER_FAILURES = 10
"""Failures in succession, over all of a provider's calls, that open the circuit breaker."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0
UNREACHED_FAILURES, UNREACHED_SECONDS = 3, 3.0
"""Failures in succession, and the time over which, after which a server that no connection came to
in this run is given up."""
_BACK_OFF_SECONDS = 1.0
_TOLD_FAILURES = 5
"""Failures in succession after which a server that has answered before is spoken of."""


class ProviderDownError(PrerequisiteError):
    """A provider has not answered for so long that it is asked no more in this run."""

    exit_code = ProviderError.exit_code


class Throttle:
    """One provider's state in this run.

    Args:
        name: the provider's, with its host.
        concurrency: calls in flight at the most; fewer after 429, and more again as calls succeed.
        deadline_seconds: without one success for so long, and BREAKER_FAILURES in succession, the
            provider is given up for this run.
    """

    def __init__(self, name: str, concurrency: int, deadline_seconds: float) -> None:
        self._name = printable(name)
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
        self._told = False
        self._gone = False
        self.answered = False
        """Whether a call was answered in this run."""
        self.reached = False
        """Whether the server replied in this run, in whatever way."""
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
                raise ProviderError(f"{self._name}: {self._last}; gave up")
            await asyncio.sleep(min(left, 1.0))
        if self.down:
            raise (ProviderDownError if self._gone else PrerequisiteError)(self.down)

    def succeeded(self) -> None:
        """A call was answered."""
        self.answered = True
        self._failures = 0
        self._bears = min(self._most, self._bears + 1 / max(self._bears, 1.0))
        if self._told:
            self._told = False
            print(f"prism: {self._name}: answers again", file=sys.stderr, flush=True)

    def failed(self, error: AgainError) -> None:
        """A call failed for now."""
        now = time.monotonic()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        self._last = str(error)
        if error.too_many and now - self._reduced_at >= _BACK_OFF_SECONDS:
            self._bears, self._reduced_at = max(1.0, self._bears / 2), now
        if error.wait is not None:
            self._paused_until = max(self._paused_until, now + error.wait)
        patience = self._deadline
        if isinstance(error, UnreachableError) and not self.reached:
            patience = min(UNREACHED_SECONDS, patience)
            if self._failures >= UNREACHED_FAILURES and now - self._failing_since >= patience:
                self._give_up()
        elif self._failures >= BREAKER_FAILURES:
            if now - self._failing_since > self._deadline:
                self._give_up()
            over = self._failures - BREAKER_FAILURES
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (over // self._most))
            self._paused_until = max(self._paused_until, now + pause)
        self._tell(patience, too_many=error.too_many)

    def _give_up(self) -> None:
        if not self.down:
            self._gone = True
            self.down = f"{self._name}: {self._last}; it is asked no more in this run"

    def _tell(self, patience: float, *, too_many: bool) -> None:
        """Say once that calls fail: at the first where none was answered, else after some; a limit
        on calls is no failure until the breaker opens."""
        enough = BREAKER_FAILURES if too_many else _TOLD_FAILURES if self.answered else 1
        if self._told or self._failures < enough or not self._deadline:
            return
        self._told = True
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + patience))
        print(
            f"prism: {self._name}: {self._last}; tried again until about {until}, then its rows "
            "stay pending",
            file=sys.stderr,
            flush=True,
        )
