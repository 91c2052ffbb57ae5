"""Throttling of one provider: calls in flight, pauses, and the circuit breaker."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prism_cli.adapters.providers.deadline import Deadline
from prism_cli.adapters.providers.replies import RetryableError, UnreachableError, printable
from prism_cli.errors import PrerequisiteError, ProviderError

BREAKER_FAILURES = 10
"""Consecutive failures, over all of a provider's calls, that open the circuit breaker."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0
UNREACHED_FAILURES, UNREACHED_SECONDS = 3, 3.0
"""Consecutive failures, and the seconds since the first of them, after which a server that was
never reached in this run is dropped."""
_BACK_OFF_SECONDS = 1.0
_REPORTED_FAILURES = 5
"""Consecutive failures after which a server that has answered before is reported."""


class ProviderDownError(PrerequisiteError):
    """Raised when a provider has failed for so long that it is dropped for this run."""

    exit_code = ProviderError.exit_code


class Throttle:
    """State of one provider in this run.

    Args:
        name: name of the provider, with its host.
        concurrency: maximum calls in flight; halved after 429, and raised again as calls succeed.
        deadline_seconds: the provider is dropped for this run after this time without a success
            and BREAKER_FAILURES consecutive failures.
    """

    def __init__(self, name: str, concurrency: int, deadline_seconds: float) -> None:
        self._name = printable(name)
        self._concurrency = concurrency
        self._allowed = float(concurrency)
        self._deadline = deadline_seconds
        self._in_flight = 0
        self._slot_freed = asyncio.Condition()
        self._failures = 0
        self._last_error = ""
        self._failing_since = 0.0
        self._paused_until = 0.0
        self._reduced_at = 0.0
        self._reported = False
        self._gave_up = False
        self.answered = False
        """True once a call was answered in this run."""
        self.reached = False
        """True once the server sent any reply in this run."""
        self.down = ""
        """Reason why the provider was dropped; "" while it is in use."""

    @asynccontextmanager
    async def slot(
        self, deadline: Deadline, model_paused_until: Callable[[], float]
    ) -> AsyncIterator[None]:
        """Wait for a free slot and the end of a pause; hold the slot for the block.

        Args:
            model_paused_until: time on the monotonic clock.

        Raises:
            ProviderError: the pause ends after the deadline.
            PrerequisiteError: the provider was dropped.
        """
        await self._pause_over(deadline, model_paused_until)  # without a slot of other models
        with deadline.postponed():  # the calls of others are no failure
            async with self._slot_freed:
                await self._slot_freed.wait_for(lambda: self._in_flight < int(self._allowed))
                self._in_flight += 1
        try:
            await self._pause_over(deadline, model_paused_until)
            yield
        finally:
            async with self._slot_freed:
                self._in_flight -= 1
                self._slot_freed.notify(2)

    async def _pause_over(
        self, deadline: Deadline, model_paused_until: Callable[[], float]
    ) -> None:
        while not self.down:
            left = max(self._paused_until, model_paused_until()) - time.monotonic()
            if left <= 0:
                break
            if time.monotonic() + left > deadline.at:
                raise ProviderError(f"{self._name}: {self._last_error}; gave up")
            await asyncio.sleep(min(left, 1.0))
        if self.down:
            raise (ProviderDownError if self._gave_up else PrerequisiteError)(self.down)

    def succeeded(self) -> None:
        """Record an answered call."""
        self.answered = True
        self._failures = 0
        self._allowed = min(self._concurrency, self._allowed + 1 / max(self._allowed, 1.0))
        if self._reported:
            self._reported = False
            print(f"prism: {self._name}: answers again", file=sys.stderr, flush=True)

    def failed(self, error: RetryableError) -> None:
        """Record a call that failed with a temporary error. The wait that a 429 asks for is the
        model's own."""
        now = time.monotonic()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        self._last_error = str(error)
        if error.too_many and now - self._reduced_at >= _BACK_OFF_SECONDS:
            self._allowed, self._reduced_at = max(1.0, self._allowed / 2), now
        if error.wait is not None and not error.too_many:
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
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(over // self._concurrency, 10))
            self._paused_until = max(self._paused_until, now + pause)
        self._report(patience, too_many=error.too_many)

    def _give_up(self) -> None:
        if not self.down:
            self._gave_up = True
            self.down = f"{self._name}: {self._last_error}; no more calls to it in this run"

    def _report(self, patience: float, *, too_many: bool) -> None:
        """Report failing calls once: at the first failure if none was answered yet, else after
        _REPORTED_FAILURES; rate limits (429) only once the breaker opens."""
        threshold = BREAKER_FAILURES if too_many else _REPORTED_FAILURES if self.answered else 1
        if self._reported or self._failures < threshold or not self._deadline:
            return
        self._reported = True
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + patience))
        print(
            f"prism: {self._name}: {self._last_error}; retried until about {until}, then its rows "
            "stay pending",
            file=sys.stderr,
            flush=True,
        )
