"""What search APIs are asked and how they answer, by the `api` of a provider.

Sources: exa.ai/docs/reference/search, exa.ai/docs/reference/pricing,
docs.tavily.com/documentation/api-reference/endpoint/search.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API's words.

    Attributes:
        count: its field for how many pages are wanted.
        most: pages that one call may ask for.
        text: the field of a result that holds the page's text.
        asked: what else is sent, so that the text comes along.
        included: pages within the price of a search.
        usd_per_page: for each page beyond them.
    """

    count: str
    most: int
    text: str
    asked: Mapping[str, Any]
    included: int = 1000
    usd_per_page: float = 0.0

    def body(self, query: str, results: int) -> dict[str, Any]:
        """The JSON of one search."""
        return {"query": query, self.count: results, **self.asked}


DIALECTS = {
    "exa": Dialect("numResults", 100, "text", {"contents": {"text": True}}, 10, 0.001),
    "tavily": Dialect("max_results", 20, "raw_content", {"include_raw_content": "text"}),
}
