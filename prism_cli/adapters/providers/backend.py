"""What all backends have in common that ask a model of a provider."""

from prism_cli.adapters.providers.client import LostCalls
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.ports import RateLimits


class ProviderBackend:
    """A CallBackend but for `fingerprint`, `plan`, `estimate` and `answer`."""

    single = False

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        self._lost = LostCalls()
        self.spec = ref.spec

    @property
    def concurrency(self) -> int:
        """Calls in flight at the most."""
        return self._ref.client.provider.concurrency

    @property
    def rate_limits(self) -> RateLimits:
        """What the provider asks for and allows."""
        provider = self._ref.client.provider
        return RateLimits(
            self._ref.card.priced, provider.requests_per_minute, provider.tokens_per_minute
        )

    @property
    def lost_calls(self) -> int:
        """Calls that ended without a reply and may have been billed."""
        return self._lost.count

    async def close(self) -> None:
        """Close the provider's connections."""
        await self._ref.client.close()
