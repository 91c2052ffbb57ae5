"""What all backends have in common that ask a model of a provider."""

from prism_cli.adapters.providers.channel import Losses
from prism_cli.adapters.providers.named import Named
from prism_cli.ports import Terms


class ProviderBackend:
    """A CallBackend but for `fingerprint`, `plan`, `estimate` and `answer`."""

    single = False

    def __init__(self, named: Named) -> None:
        self._named = named
        self._losses = Losses()
        self.spec = named.spec

    @property
    def concurrency(self) -> int:
        """Calls in flight at the most."""
        return self._named.channel.provider.concurrency

    @property
    def terms(self) -> Terms:
        """What the provider asks for and allows."""
        provider = self._named.channel.provider
        return Terms(
            self._named.card.priced, provider.requests_per_minute, provider.tokens_per_minute
        )

    @property
    def lost_calls(self) -> int:
        """Calls that ended without a reply and may have been billed."""
        return self._losses.count

    async def close(self) -> None:
        """Close the provider's connections."""
        await self._named.channel.close()
