"""A model of a provider, named by a spec."""

from dataclasses import dataclass

from prism_cli.adapters.providers.channel import Channel
from prism_cli.configs.providers import Api, ModelCard


@dataclass(frozen=True)
class Named:
    """The model of a `provider/model` spec, and the channel to its provider."""

    spec: str
    channel: Channel
    model: str
    card: ModelCard

    @property
    def api(self) -> Api:
        """How its provider is spoken to."""
        return self.channel.provider.api
