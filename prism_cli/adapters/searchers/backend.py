"""Web search as the engine asks it: one query a call."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
import orjson

from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import AgainError
from prism_cli.adapters.searchers.dialects import DIALECTS
from prism_cli.errors import UsageError
from prism_cli.ports import Reply, Usage


class SearchBackend(ProviderBackend):
    """A CallBackend; payloads are queries.

    Args:
        ref: a model of a provider that speaks a dialect of DIALECTS.
        results: pages a query, at most.

    Raises:
        UsageError: more pages than the API gives.
    """

    single = True

    def __init__(self, ref: ModelRef, results: int) -> None:
        super().__init__(ref)
        self._client, self._card = ref.client, ref.card
        self._results = results
        self._dialect = DIALECTS[ref.api]
        if results > self._dialect.most:
            raise UsageError(
                f"{ref.spec}: gives {self._dialect.most} results a query at the most, found "
                f"--results {results}"
            )
        body = orjson.dumps(self._body(""), option=orjson.OPT_SORT_KEYS).decode()
        self.fingerprint = f"search {ref.spec} {body}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """One query a call."""
        return [[index] for index in range(len(payloads))]

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """The price of one search; 0 where it is not known."""
        price = self._card.usd(searches=1)
        more = max(0, self._results - self._dialect.included) if price else 0
        return Usage(usd=price + more * self._dialect.usd_per_page)

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """{"pages": [{"url", "title", "text"}], best first, "retrieved_at": UTC, ISO 8601}.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `ProviderClient.ask`.
        """
        (query,) = payloads

        async def send() -> httpx2.Response:
            return await self._client.post("search", self._body(query))

        def read(found: Any) -> Reply:
            pages = [self._page(one) for one in _results_of(found)]
            now = datetime.now(UTC).isoformat(timespec="seconds")
            return Reply({"pages": pages, "retrieved_at": now}, usage=self._used(found, query))

        return [await self._client.ask(send, read, 0, self._lost)]

    def _body(self, query: str) -> dict[str, Any]:
        return self._dialect.body(query, self._results) | self._card.extra_body

    def _page(self, result: Any) -> dict[str, str]:
        if not isinstance(result, dict) or not isinstance(result.get("url"), str):
            raise AgainError("a result without a url", billed=True)
        page = {"url": result["url"]}
        for name, theirs in (("title", "title"), ("text", self._dialect.text)):
            value = result.get(theirs)
            if not isinstance(value, str | None):
                raise AgainError(f"a result whose {theirs} is no text", billed=True)
            page[name] = value or ""
        return page

    def _used(self, found: dict[str, Any], query: str) -> Usage:
        """What the reply says that it cost (Exa), else the price."""
        told = found.get("costDollars")
        total = told.get("total") if isinstance(told, dict) else None
        if isinstance(total, int | float) and not isinstance(total, bool) and total > 0:
            return Usage(usd=float(total))
        return self.estimate([query])


def _results_of(found: Any) -> list[Any]:
    results = found.get("results") if isinstance(found, dict) else None
    if not isinstance(results, list):
        raise AgainError("a reply without a list of results", billed=True)
    return results
