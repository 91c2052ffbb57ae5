"""A model of a provider, named by a spec."""

from dataclasses import dataclass

from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.configs.providers import Api, ModelCard


@dataclass(frozen=True)
class ModelRef:
    """The model of a `provider/model` spec, and the client to its provider."""

    spec: str
    client: ProviderClient
    model: str
    card: ModelCard

    @property
    def api(self) -> Api:
        """How its provider is spoken to."""
        return self.client.provider.api
