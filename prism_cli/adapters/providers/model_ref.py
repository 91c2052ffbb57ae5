"""A provider's model and the client that reaches it."""

from dataclasses import dataclass

from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.configs.providers import Api, ModelPricing


@dataclass(frozen=True)
class ModelRef:
    """The model of a `provider/model` spec, with the client of its provider."""

    spec: str
    client: ProviderClient
    model: str
    card: ModelPricing

    @property
    def api(self) -> Api:
        """API of the provider, such as `openai`."""
        return self.client.provider.api

    @property
    def priced(self) -> bool:
        """True if the card's prices are complete: a chat model is paid for its answers, too."""
        return self.card.priced and (
            self.api != "openai" or self.card.usd_per_million_output is not None
        )
