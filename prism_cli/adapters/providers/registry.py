"""Specs to models of providers; a provider has one client, whoever asks."""

import os

from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.configs.providers import Provider, ProviderBook
from prism_cli.errors import UsageError


class ProviderRegistry:
    """The providers of this run.

    Args:
        concurrency: calls in flight per provider, instead of what the book says.
        priced: whether a model without a price is refused.
        keyless: nothing will be asked, so keys need not be there.
        hurried: each question is sent once.
    """

    def __init__(
        self,
        book: ProviderBook,
        concurrency: int | None = None,
        *,
        priced: bool = False,
        keyless: bool = False,
        hurried: bool = False,
    ) -> None:
        self._book = book
        self._priced = priced
        self._keyless = keyless
        self._changes: dict[str, object] = {}
        if concurrency is not None:
            self._changes["concurrency"] = concurrency
        if hurried:
            self._changes["deadline_seconds"] = 0.0
        self._channels: dict[str, ProviderClient] = {}

    @property
    def names(self) -> list[str]:
        """Of all providers."""
        return list(self._book.providers)

    @property
    def apis(self) -> dict[str, str]:
        """How each provider is spoken to."""
        return {name: provider.api for name, provider in self._book.providers.items()}

    @property
    def models(self) -> dict[str, list[str]]:
        """The models of each provider that the provider files list."""
        return {name: list(provider.models) for name, provider in self._book.providers.items()}

    def resolve(self, spec: str) -> ModelRef | None:
        """The model of a spec; None where it names no provider that is known.

        Raises:
            UsageError: its cost is to be limited, and it has no price.
        """
        found = self._book.named(spec)
        if found is None:
            return None
        provider, model, card = found
        if self._priced and not card.priced:
            raise UsageError(
                f"{spec}: has no price in the provider files, so --max-cost cannot limit it; give "
                f'usd_per_million_input and usd_per_million_output of models."{model}" in a '
                "--provider-file (0 where it is free)"
            )
        return ModelRef(spec, self._client(spec.partition("/")[0], provider), model, card)

    def _client(self, name: str, provider: Provider) -> ProviderClient:
        if name not in self._channels:
            provider = provider.model_copy(update=self._changes)
            variables = {one.key_env for one in self._book.providers.values()} - {""}
            secrets = [os.environ.get(variable, "").strip() for variable in variables]
            self._channels[name] = ProviderClient(
                name, provider, keyless=self._keyless, secrets=secrets
            )
        return self._channels[name]
