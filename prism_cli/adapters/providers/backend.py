"""The base class of all backends that call a provider's model."""

from collections.abc import Sequence
from typing import Any

from prism_cli.adapters.providers.client import LostCalls
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.ports import RateLimits


class ProviderBackend:
    """A CallBackend without `fingerprint`, `estimate` and `answer`; one question per call."""

    single = True

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lost = LostCalls()
        self.spec = ref.spec
        provider = ref.client.provider
        self.concurrency = provider.concurrency
        self.rate_limits = RateLimits(
            ref.priced, provider.requests_per_minute, provider.tokens_per_minute, ref.card.usd
        )

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return groups of one question."""
        return [[index] for index in range(len(payloads))]

    @property
    def lost_calls(self) -> int:
        """Number of calls that ended without a reply and may have been billed."""
        return self._lost.count

    async def close(self) -> None:
        """Close the provider's connections."""
        await self._ref.client.close()
