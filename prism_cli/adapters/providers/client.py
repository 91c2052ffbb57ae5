"""HTTP client of one provider, shared by all its backends: sends questions with the key.

When a call may go out is for `throttle` and `pacing` to say, when it is repeated for `retrying` and
`deadline`, and which replies are refusals for `replies` and `firewall`.
"""

import asyncio
import os
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from prism_cli.adapters.providers.deadline import Deadline
from prism_cli.adapters.providers.firewall import FirewallCheck
from prism_cli.adapters.providers.pacing import Pacer
from prism_cli.adapters.providers.replies import (
    BlockedError,
    NoSuchModelError,
    RetryableError,
    UnreachableError,
    parse_json,
)
from prism_cli.adapters.providers.retrying import attempts_until
from prism_cli.adapters.providers.secrets import Secrets, is_placeholder
from prism_cli.adapters.providers.throttle import ProviderDownError, Throttle
from prism_cli.configs.providers import Provider, is_loopback
from prism_cli.errors import PrerequisiteError, ProviderError, RefusalError

Value = TypeVar("Value")
Send = Callable[[], Awaitable[httpx2.Response]]

_UNREACHED_WAIT = 1.0
_NOT_YET = "as it has answered nothing yet, this may concern every call, and the row is not refused"
_LARGE = 100_000
"""Bytes from which a reply, such as that of a batch, is masked in another thread."""


@dataclass
class LostCalls:
    """Calls of one backend that ended without a reply and may have been billed.

    Attributes:
        paused_until: end of the wait that a 429 asks of its model, on the monotonic clock.
    """

    count: int = 0
    paused_until: float = 0.0


class ProviderClient:
    """Sends calls to one provider until they are answered, refused, or out of time.

    Args:
        keyless: no call will be made, so the key may be missing.
        secrets: keys of all providers, to be masked in replies; the provider's own key is added.

    Attributes:
        idle_http: HTTP clients that the next calls use.
        pacer: limits per minute.
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
        self.pacer = Pacer(provider.requests_per_minute, provider.tokens_per_minute)
        self._firewall = FirewallCheck()
        # Variables often end with a line break that is not part of the key.
        self.key = os.environ.get(provider.key_env, "").strip() if provider.key_env else ""
        keys = [self.key, *secrets]
        self._secrets = Secrets(keys)
        self._keys = Secrets(key for key in keys if not is_placeholder(key))
        self.idle_http: list[httpx2.AsyncClient] = []

    @property
    def lacks_key(self) -> bool:
        """True if the provider needs a key and the environment does not have it."""
        return bool(self.provider.key_env) and not self.key

    def new_http(self) -> httpx2.AsyncClient:
        """Return an HTTP client for one call at a time: one for all would look at every connection
        twice a call. It follows no redirects, so that the key reaches no other host."""
        return httpx2.AsyncClient(
            verify=self._tls,
            timeout=httpx2.Timeout(self.provider.timeout_seconds),
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            trust_env=not is_loopback(self.provider.base_url),  # no proxy to this machine
            follow_redirects=False,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx2.create_ssl_context()

    @cached_property
    def throttle(self) -> Throttle:
        """State of the provider in this run."""
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
            seconds: timeout; the provider's timeout_seconds by default.
            content: json, params, data or files, as in httpx.
        """
        http = self.idle_http.pop() if self.idle_http else self.new_http()
        try:
            return await http.request(
                method,
                f"{self.provider.base_url}/{path}",
                headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
                timeout=seconds or self.provider.timeout_seconds,
                **content,
            )
        finally:
            self.idle_http.append(http)

    async def close(self) -> None:
        """Close any open connections."""
        while self.idle_http:
            await self.idle_http.pop().aclose()

    async def ask(
        self,
        send: Send,
        read: Callable[[Any], Value],
        tokens: Callable[[], int],
        lost: LostCalls,
        *,
        parse: Callable[[httpx2.Response], Any] = parse_json,
        seconds: float | None = None,
    ) -> Value:
        """Send one question, with retries, until `read` accepts the JSON of its reply.

        Args:
            read: raises RetryableError if the reply is unusable, RefusalError if it is a final
                refusal.
            tokens: returns the estimated tokens of question and answer, for the limit per minute.
            lost: counts lost attempts.
            parse: turns a reply into the argument of `read`; raises as `parse_json` does.
            seconds: timeout of one attempt; the provider's timeout_seconds by default.

        Raises:
            ProviderError: no answer within deadline_seconds; waits for a slot and for the limits
                per minute do not count.
            RefusalError: the provider refused this question for good.
            PrerequisiteError: the provider cannot be used at all.
        """
        deadline = Deadline(self.provider.deadline_seconds)
        attempts = attempts_until(deadline)

        def parse_value(reply: httpx2.Response) -> Value:
            return read(parse(reply))

        seconds = seconds or self.provider.timeout_seconds
        try:
            return await attempts(self._attempt, send, parse_value, tokens, lost, deadline, seconds)
        except RetryableError as error:
            wait = error.wait or 0.0
            reason = f"{self.name}: {error}"
            if wait > self.provider.deadline_seconds and not isinstance(error, UnreachableError):
                reason += f", and asks to wait {wait:.0f} s: longer than the deadline of a question"
            raise ProviderError(f"{reason}; gave up") from None
        except ProviderDownError:
            raise
        except PrerequisiteError as error:
            raise PrerequisiteError(self._unusable(error)) from None

    async def _attempt(
        self,
        send: Send,
        parse_value: Callable[[httpx2.Response], Value],
        tokens: Callable[[], int],
        lost: LostCalls,
        deadline: Deadline,
        seconds: float,
    ) -> Value:
        async with self.throttle.slot(deadline, lambda: lost.paused_until):
            with deadline.postponed():  # the limits per minute are no failure
                await self.pacer.wait(tokens)
            try:
                value = await self._answer(send, parse_value, lost, seconds)
            except RetryableError as error:
                lost.count += error.billed
                if error.too_many and error.wait is not None:
                    lost.paused_until = max(lost.paused_until, time.monotonic() + error.wait)
                if error.quota and not self.throttle.answered:
                    # After a first answer, it may be a quota per minute, which renews itself.
                    self.throttle.down = self._unusable(error)
                    raise PrerequisiteError(self.throttle.down) from None
                self.throttle.failed(error)
                raise
            except PrerequisiteError as error:
                if not isinstance(error, NoSuchModelError):
                    self.throttle.down = self._unusable(error)  # stops all models of the provider
                raise
            self.throttle.succeeded()
            self._firewall.answered()
            return value

    async def _answer(
        self,
        send: Send,
        parse_value: Callable[[httpx2.Response], Value],
        lost: LostCalls,
        seconds: float,
    ) -> Value:
        """Send one call and return its answer; find out whether a firewall refuses all calls."""
        try:
            return parse_value(await self._send(send, lost, seconds))
        except (ProviderError, PrerequisiteError, RefusalError) as error:
            error.args = (self._secrets.masked(str(error)),)
            if not isinstance(error, BlockedError):
                raise
            models = partial(self.request, "GET", "models")
            if await self._firewall.blocks_all(partial(self._send, models, LostCalls(), seconds)):
                raise PrerequisiteError(str(error)) from None
            if not self.throttle.answered:
                raise ProviderError(f"{self.name}: {error}; {_NOT_YET}") from None
            raise

    async def _send(self, send: Send, lost: LostCalls, seconds: float) -> httpx2.Response:
        """Send one call; `seconds` bounds it as a whole, however slowly bytes arrive."""
        if not self.idle_http:  # before the timeout: the first takes a tenth of a second
            self.idle_http.append(self.new_http())
        try:
            async with asyncio.timeout(seconds):
                response = await send()
        except (TimeoutError, httpx2.TimeoutException) as error:
            billed = not isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise RetryableError(f"no answer within {seconds:g} s", billed=billed) from None
        except asyncio.CancelledError:
            lost.count += 1
            raise
        except httpx2.ConnectError as error:
            reason = self._secrets.masked(str(error))
            raise UnreachableError(
                f"cannot be reached at {self.provider.base_url}: {reason}",
                wait=None if self.throttle.reached else _UNREACHED_WAIT,
            ) from None
        except (httpx2.RequestError, httpx2.StreamError, OSError) as error:  # OSError: of TLS
            reason = self._secrets.masked(f"{type(error).__name__}: {error}")
            raise RetryableError(f"the connection broke ({reason})", billed=True) from None
        self.throttle.reached = True
        # Placeholders are masked in messages alone: an answer that has such a word is data.
        if len(response.content) > _LARGE:
            stopped = threading.Event()
            try:
                return await asyncio.to_thread(self._keys.masked_reply, response, stopped.is_set)
            finally:
                stopped.set()  # a stopped run does not wait for the rest of the search
        return self._keys.masked_reply(response)

    def _unusable(self, error: Exception) -> str:
        """Return why the provider is unusable, and what to check."""
        reason = str(error)
        if reason == self.throttle.down:
            return reason
        key = f"; its key is taken from {self.provider.key_env}" if self.provider.key_env else ""
        return f"{self.name} at {self.provider.base_url}: {reason}{key}; no more calls to it"
