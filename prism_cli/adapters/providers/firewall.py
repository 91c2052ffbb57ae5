"""Detection of a firewall before the API that refuses all calls, not one question for its words."""

from collections.abc import Awaitable, Callable

import httpx2

from prism_cli.adapters.providers.replies import is_of_a_firewall

_MOST_BLOCKED = 5
"""Calls that it refuses, without an answer in between, after which it refuses all."""


class FirewallCheck:
    """Calls of one provider that a firewall has refused since the last answer."""

    def __init__(self) -> None:
        self._blocked = 0

    async def blocks_all(self, harmless_call: Callable[[], Awaitable[httpx2.Response]]) -> bool:
        """Count a refused call; return whether the firewall refuses all calls."""
        self._blocked += 1
        other = await harmless_call()
        return is_of_a_firewall(other) or self._blocked >= _MOST_BLOCKED

    def answered(self) -> None:
        """Record an answered call."""
        self._blocked = 0
