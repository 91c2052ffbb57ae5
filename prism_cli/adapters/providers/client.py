"""One provider's line: keyed, paced, retried, with a deadline. All its backends share it."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_before_delay
from tenacity.wait import wait_random_exponential

from prism_cli.adapters.providers.replies import (
    AgainError,
    NoSuchModelError,
    UnreachableError,
    json_of,
)
from prism_cli.adapters.providers.secrets import Secrets
from prism_cli.adapters.providers.throttle import ProviderDownError, Throttle
from prism_cli.configs.providers import Provider
from prism_cli.errors import PrerequisiteError, ProviderError

Value = TypeVar("Value")
Send = Callable[[], Awaitable[httpx2.Response]]

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 20.0
_UNREACHED_WAIT = 1.0
_PACE_SECONDS = 5.0
"""Limits a minute are held over windows of this length, so that a minute's calls do not go out
in its first second."""


@dataclass
class LostCalls:
    """Calls of one backend that ended without a reply and may have been billed."""

    count: int = 0


class ProviderClient:
    """Sends calls to one provider until they are answered, refused, or out of time.

    Args:
        keyless: nothing will be asked, so its key need not be there.
        secrets: of all providers; those of this one are known anyway.
    """

    def __init__(
        self,
        name: str,
        provider: Provider,
        *,
        keyless: bool = False,
        secrets: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.keyless = keyless
        self.provider = provider
        self._requests = _limiter(provider.requests_per_minute)
        self._tokens = _limiter(provider.tokens_per_minute)
        # Behind a comma or a new line a variable often holds nothing that belongs to the key.
        self.key = os.environ.get(provider.key_env, "").strip() if provider.key_env else ""
        self._secrets = Secrets([self.key, *secrets])

    @property
    def lacks_key(self) -> bool:
        """Whether its provider wants a key that is not in the environment."""
        return bool(self.provider.key_env) and not self.key

    @cached_property
    def http(self) -> httpx2.AsyncClient:
        """The client: no redirects, so that the key goes to no other host; a connection a slot."""
        return httpx2.AsyncClient(
            timeout=httpx2.Timeout(self.provider.timeout_seconds),
            limits=httpx2.Limits(
                max_connections=self.provider.concurrency,
                max_keepalive_connections=self.provider.concurrency,
            ),
            follow_redirects=False,
        )

    @cached_property
    def throttle(self) -> Throttle:
        """The provider's state in this run."""
        provider = self.provider
        return Throttle(
            f"{self.name} ({urlsplit(provider.base_url).netloc})",
            provider.concurrency,
            provider.deadline_seconds,
        )

    async def post(self, path: str, body: Any) -> httpx2.Response:
        """Send one POST of JSON with the key; return the reply, whatever its status."""
        return await self.request("POST", path, json=body)

    async def request(
        self, method: str, path: str, *, seconds: float | None = None, **content: Any
    ) -> httpx2.Response:
        """Send one request with the key; return the reply, whatever its status.

        Args:
            seconds: timeout, where it is not timeout_seconds.
            content: json, params, data, files, as httpx has them.
        """
        return await self.http.request(
            method,
            f"{self.provider.base_url}/{path}",
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=seconds or self.provider.timeout_seconds,
            **content,
        )

    async def close(self) -> None:
        """Close the connections, if there are any."""
        if "http" in self.__dict__:
            await self.http.aclose()

    async def ask(
        self,
        send: Send,
        read: Callable[[Any], Value],
        tokens: int,
        lost: LostCalls,
        *,
        parse: Callable[[httpx2.Response], Any] = json_of,
        seconds: float | None = None,
    ) -> Value:
        """One question, sent until `read` takes the JSON of its reply.

        Args:
            read: raises AgainError where a reply holds nothing usable, RefusalError where it is
                the final word.
            tokens: of question and answer, about; for the limit a minute.
            lost: counts the attempts that were lost.
            parse: what `read` gets of a reply; raises as `json_of` does.
            seconds: of one attempt, where that is not timeout_seconds.

        Raises:
            ProviderError: no answer within deadline_seconds.
            RefusalError: the provider's final word on this question.
            PrerequisiteError: the provider cannot be used at all.
        """
        give_up_at = time.monotonic() + self.provider.deadline_seconds
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(AgainError),
            stop=stop_before_delay(self.provider.deadline_seconds),
            wait=_wait,
            reraise=True,
        )

        def taken(reply: httpx2.Response) -> Value:
            return read(parse(reply))

        seconds = seconds or self.provider.timeout_seconds
        try:
            return await attempts(self._attempt, send, taken, tokens, lost, give_up_at, seconds)
        except AgainError as error:
            wait = error.wait or 0.0
            long = f", and asks to wait {wait:.0f} s: longer than a question waits"
            told = f"{self.name}: {error}"
            asks = wait > self.provider.deadline_seconds and not isinstance(error, UnreachableError)
            told += long if asks else ""
            raise ProviderError(f"{told}; gave up") from None
        except ProviderDownError:
            raise
        except PrerequisiteError as error:
            raise PrerequisiteError(self._told(error)) from None

    async def _attempt(
        self,
        send: Send,
        taken: Callable[[httpx2.Response], Value],
        tokens: int,
        lost: LostCalls,
        give_up_at: float,
        seconds: float,
    ) -> Value:
        async with self.throttle.slot(give_up_at):
            if self._requests:
                await self._requests.acquire()
            if self._tokens:
                await self._tokens.acquire(min(tokens, self._tokens.max_rate))
            try:
                value = taken(await self._sent(send, lost, seconds))
            except AgainError as error:
                lost.count += error.billed
                if error.quota and not self.throttle.answered:
                    # Later it may be the quota of a minute, which is soon whole again.
                    self.throttle.down = self._told(error)
                    raise PrerequisiteError(self.throttle.down) from None
                self.throttle.failed(error)
                raise
            except PrerequisiteError as error:
                if not isinstance(error, NoSuchModelError):
                    self.throttle.down = self._told(error)  # at once, for all its models
                raise
            self.throttle.succeeded()
            return value

    async def _sent(self, send: Send, lost: LostCalls, seconds: float) -> httpx2.Response:
        """One call; a slow drip ends after `seconds` too."""
        try:
            async with asyncio.timeout(seconds):
                response = await send()
        except (TimeoutError, httpx2.TimeoutException) as error:
            billed = not isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise AgainError(f"no answer within {seconds:g} s", billed=billed) from None
        except asyncio.CancelledError:
            lost.count += 1
            raise
        except httpx2.ConnectError as error:
            told = self._secrets.masked(str(error))
            raise UnreachableError(
                f"cannot be reached at {self.provider.base_url}: {told}",
                wait=None if self.throttle.reached else _UNREACHED_WAIT,
            ) from None
        except (httpx2.RequestError, httpx2.StreamError) as error:
            told = self._secrets.masked(f"{type(error).__name__}: {error}")
            raise AgainError(f"the connection broke ({told})", billed=True) from None
        self.throttle.reached = True
        return self._secrets.masked_reply(response)

    def _told(self, error: Exception) -> str:
        """Why a provider is of no use, and what to look at."""
        words = str(error)
        if words == self.throttle.down:
            return words
        key = f"; its key is taken from {self.provider.key_env}" if self.provider.key_env else ""
        return f"{self.name} at {self.provider.base_url}: {words}{key}; it is asked no more"


def _limiter(per_minute: float | None) -> AsyncLimiter | None:
    if per_minute is None:
        return None
    window = max(_PACE_SECONDS, 60 / per_minute)  # room for one at least
    return AsyncLimiter(per_minute * window / 60, window)


_jittered = wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)


def _wait(state: RetryCallState) -> float:
    """What the provider asks for, else longer from attempt to attempt, with jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, AgainError) else None
    return _jittered(state) if asked is None else asked
