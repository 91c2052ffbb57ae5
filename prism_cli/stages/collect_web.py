"""Queries to pair rows of the pages that a web search finds for them."""

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from prism_cli.domain.contradictions import Claim, settle
from prism_cli.domain.web_pages import sift
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import CallBackend, RowWork, request
from prism_cli.rows.adjacent import adjacent
from prism_cli.rows.row import Dropped, Row, doc_id, document_text, query_id, string_field

_OF_A_QUERY = ("query_id", "query", "original_query")
_HOLDS_DOCUMENTS = {"document", "documents", "pos", "neg"}
_OF_A_PAGE = {"doc_id", "title", "document", "source", "url", "retrieved_at"}


class CollectWebStage(RowStage):
    """Searches each query once, and spreads the pages that are worth keeping.

    Args:
        search: answers {"pages": [{"url", "title", "text"}], "retrieved_at"} to a query.
        source: written as `source`, such as web:exa.
        min_characters: of a page's text.
    """

    name: ClassVar[str] = "collect"
    counted = ("_figures",)

    def __init__(self, search: CallBackend, source: str, min_characters: int) -> None:
        self._search = search
        self._source = source
        self._min_characters = min_characters
        self._figures: Counter[str] = Counter()

    def check(self, row: Row) -> None:
        """A query; of rows that hold documents too, only the query counts."""
        string_field(row, "query", blank=False)
        for name in ("query_id", "original_query"):
            string_field(row, name, required=False)

    def work(self, row: Row) -> RowWork:
        """Ask, then one pair a page."""
        (reply,) = yield [request(self._search, row["query"], row["query"])]
        if reply.refusal is not None:
            raise RowError("query", reply.refusal)
        query = _travels(row) | {"query_id": query_id(row)}
        pairs = []
        for page, reason in sift(row["query"], reply.value["pages"], self._min_characters):
            self._figures[f"left out: {reason}" if reason else "kept"] += 1
            if not reason:
                pairs.append(self._pair(query, page, reply.value["retrieved_at"]))
        return pairs or Dropped("no page worth keeping")

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Each page once, where adjacent rows ask the same."""
        for group in adjacent(rows):
            reasons = settle([Claim(document_text(row), None) for row in group])
            for row, reason in zip(group, reasons, strict=True):
                if reason is None:
                    yield row
                else:
                    self._figures[f"left out: {reason}"] += 1

    def summary(self) -> dict[str, object]:
        """How many pages were found, and why some were left out."""
        return {"search": self._search.spec, "pages": dict(self._figures)}

    def _pair(self, query: Row, page: dict[str, str], retrieved_at: str) -> Row:
        texts = {"title": page["title"], "document": page["text"]}
        ids = {"query_id": query["query_id"], "query": query["query"], "doc_id": doc_id(texts)}
        rest = {"source": self._source, "url": page["url"], "retrieved_at": retrieved_at}
        return ids | texts | rest | query


def _travels(row: Row) -> Row:
    """What says nothing of a document: all fields of a query's row, few of a pair's."""
    if _HOLDS_DOCUMENTS & row.keys():
        return {name: row[name] for name in _OF_A_QUERY if name in row}
    return {name: value for name, value in row.items() if name not in _OF_A_PAGE}
