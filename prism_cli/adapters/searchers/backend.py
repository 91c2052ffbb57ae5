"""Backend for web search: one query per call."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import RetryableError
from prism_cli.adapters.searchers.dialects import DIALECTS
from prism_cli.errors import UsageError
from prism_cli.ports import Reply, Usage


class SearchBackend(ProviderBackend):
    """A CallBackend; payloads are queries.

    Args:
        ref: model of a provider whose API is in DIALECTS.
        results: maximum pages per query.

    Raises:
        UsageError: `results` is above the API's limit.
    """

    def __init__(self, ref: ModelRef, results: int) -> None:
        super().__init__(ref)
        self._client, self._card = ref.client, ref.card
        self._results = results
        self._dialect = DIALECTS[ref.api]
        if results > self._dialect.most:
            raise UsageError(
                f"{ref.spec}: expected at most {self._dialect.most} results per query, found "
                f"--results {results}"
            )
        body = orjson.dumps(self._body(""), option=orjson.OPT_SORT_KEYS).decode()
        self.fingerprint = f"search {ref.spec} {body}"

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Return the price of one search; 0 if it is unknown."""
        price = self._card.usd(searches=1)
        more = max(0, self._results - self._dialect.included) if price else 0
        return Usage(usd=price + more * self._dialect.usd_per_page)

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return {"pages": [{"url", "title", "text"}], best first, "retrieved_at": ISO 8601}."""
        (query,) = payloads

        def read(body: Any) -> Reply:
            pages = [self._page(result) for result in _results_of(body)]
            now = datetime.now(UTC).isoformat(timespec="seconds")
            return Reply({"pages": pages, "retrieved_at": now}, usage=self._usage_of(body, query))

        send = partial(self._client.post, "search", self._body(query))
        return [await self._client.ask(send, read, lambda: 0, self._lost)]

    def _body(self, query: str) -> dict[str, Any]:
        dialect = self._dialect
        body = {"query": query, dialect.count: self._results}
        return body | dialect.settings | self._card.extra_body

    def _page(self, result: Any) -> dict[str, str]:
        if not isinstance(result, dict) or not isinstance(result.get("url"), str):
            raise RetryableError("a result without a url", billed=True)
        page = {"url": result["url"]}
        for name, field in (("title", "title"), ("text", self._dialect.text)):
            value = result.get(field)
            if not isinstance(value, str | None):
                raise RetryableError(f"a result whose {field} is not a string", billed=True)
            page[name] = value or ""
        return page

    def _usage_of(self, body: dict[str, Any], query: str) -> Usage:
        """Return the cost in the reply (Exa), else the price."""
        cost = body.get("costDollars")
        total = cost.get("total") if isinstance(cost, dict) else None
        if isinstance(total, int | float) and not isinstance(total, bool) and total > 0:
            return Usage(usd=float(total))
        return self.estimate([query])


def _results_of(body: Any) -> list[Any]:
    results = body.get("results") if isinstance(body, dict) else None
    if not isinstance(results, list):
        raise RetryableError("a reply without a list of results", billed=True)
    return results
