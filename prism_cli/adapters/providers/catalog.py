"""Specs to models of providers; a provider has one channel, whoever asks."""

from dataclasses import dataclass

from prism_cli.adapters.providers.channel import Channel
from prism_cli.configs.providers import Api, ModelCard, Provider, ProviderBook


@dataclass(frozen=True)
class Named:
    """What a `provider/model` spec names."""

    spec: str
    channel: Channel
    model: str
    card: ModelCard

    @property
    def api(self) -> Api:
        """How its provider is spoken to."""
        return self.channel.provider.api


class Catalog:
    """The providers of this run.

    Args:
        concurrency: calls in flight per provider, instead of what the book says.
    """

    def __init__(self, book: ProviderBook, concurrency: int | None = None) -> None:
        self._book = book
        self._concurrency = concurrency
        self._channels: dict[str, Channel] = {}

    @property
    def names(self) -> list[str]:
        """Of all providers."""
        return list(self._book.providers)

    def named(self, spec: str) -> Named | None:
        """The model of a spec; None where it names no provider that is known."""
        found = self._book.named(spec)
        if found is None:
            return None
        provider, model, card = found
        return Named(spec, self._channel(spec.partition("/")[0], provider), model, card)

    def _channel(self, name: str, provider: Provider) -> Channel:
        if name not in self._channels:
            if self._concurrency is not None:
                provider = provider.model_copy(update={"concurrency": self._concurrency})
            self._channels[name] = Channel(name, provider)
        return self._channels[name]
