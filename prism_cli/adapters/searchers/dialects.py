"""Request and reply formats of search APIs, by the `api` of a provider.

Sources: exa.ai/docs/reference/search, exa.ai/docs/reference/pricing,
docs.tavily.com/documentation/api-reference/endpoint/search.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Dialect:
    """Format of one API.

    Attributes:
        count: parameter for the number of pages.
        most: maximum pages per call.
        text: field of a result that holds the page's text.
        settings: further parameters, which request the text.
        included: pages included in the price of a search.
        usd_per_page: price of each further page.
    """

    count: str
    most: int
    text: str
    settings: dict[str, Any]
    included: int = 1000
    usd_per_page: float = 0.0


DIALECTS = {
    "exa": Dialect("numResults", 100, "text", {"contents": {"text": True}}, 10, 0.001),
    "tavily": Dialect("max_results", 20, "raw_content", {"include_raw_content": "text"}),
}
