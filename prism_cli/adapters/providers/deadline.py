"""Deadline of a question, over all its attempts; waits until a call may be sent do not count."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tenacity import RetryCallState


class Deadline:
    """When a question is given up.

    Attributes:
        at: its time, on the monotonic clock.
    """

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def is_before(self, state: RetryCallState) -> bool:
        """Return whether the next attempt would begin after it."""
        return time.monotonic() + state.upcoming_sleep >= self.at

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Postpone it by the time that the block takes."""
        began = time.monotonic()
        yield
        self.at += time.monotonic() - began
