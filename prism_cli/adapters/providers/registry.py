"""Lookup of providers' models by spec; all models of a provider share one client."""

import os

from prism_cli.adapters.providers.client import ProviderClient
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.configs.providers import Provider, ProviderBook
from prism_cli.errors import UsageError


class ProviderRegistry:
    """The providers of this run.

    Args:
        concurrency: calls in flight per provider; overrides the provider files.
        priced: refuse models without a price.
        keyless: no call will be made, so keys may be missing.
        retry: retry failed requests; False sends each request once.
    """

    def __init__(
        self,
        book: ProviderBook,
        concurrency: int | None = None,
        *,
        priced: bool = False,
        keyless: bool = False,
        retry: bool = True,
    ) -> None:
        self._book = book
        self._priced = priced
        self._keyless = keyless
        self._changes: dict[str, object] = {}
        if concurrency is not None:
            self._changes["concurrency"] = concurrency
        if not retry:
            self._changes["deadline_seconds"] = 0.0
        self._clients: dict[str, ProviderClient] = {}

    @property
    def apis(self) -> dict[str, str]:
        """API by provider."""
        return {name: provider.api for name, provider in self._book.providers.items()}

    @property
    def models(self) -> dict[str, list[str]]:
        """Models in the provider files, by provider."""
        return {name: list(provider.models) for name, provider in self._book.providers.items()}

    def resolve(self, spec: str) -> ModelRef | None:
        """Return the model of `spec`, or None if `spec` names no known provider.

        Raises:
            UsageError: the cost is limited and the model has no price.
        """
        match = self._book.named(spec)
        if match is None:
            return None
        provider, model, card = match
        ref = ModelRef(spec, self._client(spec.partition("/")[0], provider), model, card)
        if self._priced and not ref.priced:
            raise UsageError(
                f"{spec}: has no price in the provider files, or no complete one, so --max-cost "
                "cannot limit it; give usd_per_million_input and usd_per_million_output of "
                f'models."{model}" in a --provider-file (0 where it is free)'
            )
        return ref

    def _client(self, name: str, provider: Provider) -> ProviderClient:
        if name not in self._clients:
            provider = provider.model_copy(update=self._changes)
            variables = {known.key_env for known in self._book.providers.values()} - {""}
            secrets = [os.environ.get(variable, "").strip() for variable in variables]
            self._clients[name] = ProviderClient(
                name, provider, keyless=self._keyless, secrets=secrets
            )
        return self._clients[name]
