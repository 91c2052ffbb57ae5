"""Stop conditions of a run: signals and limits, checked between pieces of work."""

import gc
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from prism_cli.errors import InterruptedRunError, LimitReachedError

GRACE_SECONDS = 20.0
"""Time that requests in flight may still take after the first signal."""
AT_ONCE = 0.001
"""Grace period if nothing is in flight."""
_NOTICE_SECONDS = 1.0
_STOPPING = (
    b"prism: stops when what is in progress is finished, which is kept; a second Ctrl-C or SIGTERM "
    b"ends it at once\n"
)
_WAIT_SECONDS = 0.2
"""Interval at which a run that waits looks for its stop."""


class Stop:
    """Request to stop, made once by a signal handler or by whoever started the work."""

    signal_number = 0
    """Number of the signal; 0 before the request."""

    def request(self, number: int = signal.SIGTERM) -> None:
        """Ask the work to stop as if it had received signal `number`. Safe in a signal handler."""
        self.signal_number = self.signal_number or number


class Control:
    """Stop flag and limits of one run.

    Args:
        max_seconds: wall-clock limit; None for no limit.
        max_usd: limit on the cost of this run's replies; None for no limit.
        stop: where a stop is requested; `handle_signals` requests it there, too.
    """

    def __init__(
        self,
        max_seconds: float | None = None,
        max_usd: float | None = None,
        stop: Stop | None = None,
    ) -> None:
        self.stop = stop or Stop()
        self._deadline = time.monotonic() + max_seconds if max_seconds is not None else None
        self._max_seconds = max_seconds
        self._max_usd = max_usd
        self.spent_usd = 0.0
        self._reserved_usd = 0.0
        self._reservations = 0
        self._budget_refused = False
        self._interruptible = False
        self._grace = GRACE_SECONDS

    @property
    def signal_number(self) -> int:
        """Signal that asked the run to stop; 0 for none."""
        return self.stop.signal_number

    @property
    def stopping(self) -> bool:
        """True if no new work may start."""
        return bool(self.signal_number) or self._over_time or self._over_budget

    def check(self) -> None:
        """Raise if the run must stop.

        Raises:
            InterruptedRunError: SIGINT or SIGTERM was received.
            LimitReachedError: time or budget is used up.
        """
        self.check_signal()
        if self._over_time:
            raise LimitReachedError(
                f"--max-seconds {self._max_seconds:g} reached; the replies so far are kept, and "
                "the same command continues from here"
            )
        if self._over_budget:
            raise LimitReachedError(
                f"--max-cost {self._max_usd:g} USD reached: {self.spent_usd:.4f} are spent, and "
                "the next call would exceed it; the replies so far are kept, and the same command "
                "continues from here"
            )

    def check_signal(self) -> None:
        """Raise InterruptedRunError if a signal asked the run to stop."""
        if self.signal_number:
            raise InterruptedRunError(self.signal_number)

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`; raise as `check` as soon as the run must stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _WAIT_SECONDS))
        self.check()

    @property
    def limits_cost(self) -> bool:
        """True if there is a budget, so that calls must reserve their cost."""
        return self._max_usd is not None

    def reserve(self, usd: float) -> bool:
        """Reserve the estimated cost of a call; return False if the budget does not hold it now.

        The run is stopped if it would not hold it without the other reservations either, which are
        mostly above what the calls cost. A call may still cost more than its estimate.
        """
        if self._max_usd is not None and usd:
            if self.spent_usd + self._reserved_usd + usd > self._max_usd:
                self._budget_refused |= self.spent_usd + usd > self._max_usd
                return False
            self._reserved_usd += usd
            self._reservations += 1
        return True

    @property
    def remaining_usd(self) -> float:
        """Remaining budget; inf without a limit."""
        if self._max_usd is None:
            return float("inf")
        return self._max_usd - self.spent_usd - self._reserved_usd

    def stop_over_budget(self) -> None:
        """Stop the run since the next call would exceed the budget."""
        self._budget_refused = True

    def release(self, usd: float) -> None:
        """Release a reservation; the reply's own cost is counted instead."""
        if self._max_usd is not None and usd:
            self._reservations -= 1
            # Without the rest that rounding leaves, for which the next call would wait for ever.
            self._reserved_usd = self._reserved_usd - usd if self._reservations else 0.0

    @property
    def _over_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def _over_budget(self) -> bool:
        spent = self._max_usd is not None and self.spent_usd >= self._max_usd
        return spent or self._budget_refused

    @contextmanager
    def handle_signals(self, *, quiet: bool = True) -> Iterator[None]:
        """Handle SIGINT and SIGTERM: the first sets the stop flag, the second ends the process at
        once, which a line says if the first has not stopped it after a second, unless `quiet`."""
        said = quiet

        def on_signal(number: int, _frame: FrameType | None) -> None:
            if self.signal_number:
                os._exit(128 + number)
            self.stop.request(number)
            first = self._grace if said else min(self._grace, _NOTICE_SECONDS)
            signal.setitimer(signal.ITIMER_REAL, first)

        def on_alarm(_number: int, _frame: FrameType | None) -> None:
            nonlocal said
            if self._grace > _NOTICE_SECONDS and not said:
                said = True
                with suppress(OSError):
                    os.write(2, _STOPPING)  # print cannot be entered again from a handler
                signal.setitimer(signal.ITIMER_REAL, self._grace - _NOTICE_SECONDS)
            elif self._interruptible:
                raise InterruptedRunError(self.signal_number)

        handlers = {
            signal.SIGINT: on_signal,
            signal.SIGTERM: on_signal,
            signal.SIGALRM: on_alarm,
        }
        previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextmanager
    def interruptible(self, grace: float | None = None) -> Iterator[None]:
        """Let a signal interrupt the block, which must not write, once the grace period is over.

        Raises:
            InterruptedRunError: the block was interrupted.
        """
        self._interruptible = True
        self._grace = GRACE_SECONDS if grace is None else grace
        try:
            yield
        finally:
            self._interruptible, self._grace = False, GRACE_SECONDS


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage rarely: rows have no reference cycles, and looking for cycles at every 700th
    object costs a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
