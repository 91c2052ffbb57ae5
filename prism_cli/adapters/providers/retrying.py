"""Retries of a question: after which errors, how soon, and until when."""

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from prism_cli.adapters.providers.deadline import Deadline
from prism_cli.adapters.providers.replies import RetryableError

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 20.0
_jittered = wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)


def attempts_until(deadline: Deadline) -> AsyncRetrying:
    """Return the attempts at one question; the last error is raised."""
    return AsyncRetrying(
        retry=retry_if_exception_type(RetryableError),
        stop=deadline.is_before,
        wait=_wait,
        reraise=True,
    )


def _wait(state: RetryCallState) -> float:
    """Return the wait that the provider asks for, else exponential backoff with jitter."""
    error = state.outcome.exception() if state.outcome else None
    requested = error.wait if isinstance(error, RetryableError) else None
    return _jittered(state) if requested is None else requested
