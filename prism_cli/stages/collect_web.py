"""Web search: queries to pair rows, one for each page found."""

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from prism_cli.domain.contradictions import PairAnswer, drop_reasons
from prism_cli.domain.web_pages import sift
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import CallBackend, RowWork, request
from prism_cli.rows.adjacent import adjacent
from prism_cli.rows.row import Dropped, Row, doc_id, document_text, query_id, string_field

_OF_A_QUERY = ("query_id", "query", "original_query")
_HOLDS_DOCUMENTS = {"document", "documents", "pos", "neg"}
_OF_A_PAGE = {"doc_id", "title", "document", "source", "url", "retrieved_at", "source_rank"}


class CollectWebStage(RowStage):
    """Searches for each query once, and writes a pair row for each page that is kept.

    Args:
        search: replies {"pages": [{"url", "title", "text"}], "retrieved_at"} to a query.
        source: value of `source`, such as web:exa.
        min_characters: least length of a page's text.
    """

    name: ClassVar[str] = "collect"
    counted = ("_figures",)

    def __init__(self, search: CallBackend, source: str, min_characters: int) -> None:
        self._search = search
        self._source = source
        self._min_characters = min_characters
        self._figures: Counter[str] = Counter()

    def check(self, row: Row) -> None:
        """Check the query; other fields of rows with documents are ignored."""
        string_field(row, "query", blank=False)
        for name in ("query_id", "original_query"):
            string_field(row, name, required=False)

    def work(self, row: Row) -> RowWork:
        """Search, then return one pair per page."""
        (reply,) = yield [request(self._search, row["query"], row["query"])]
        if reply.refusal is not None:
            raise RowError("query", reply.refusal)
        query = _query_fields(row) | {"query_id": query_id(row)}
        pairs = []
        pages = sift(row["query"], reply.value["pages"], self._min_characters)
        for rank, (page, reason) in enumerate(pages, 1):
            self._figures[f"left out: {reason}" if reason else "kept"] += 1
            if not reason:
                pairs.append(self._pair(query, page, rank, reply.value["retrieved_at"]))
        return pairs or Dropped("no page worth keeping")

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Drop repeated pages among adjacent rows of a query."""
        for group in adjacent(rows):
            reasons = drop_reasons([PairAnswer(document_text(row), None) for row in group])
            for row, reason in zip(group, reasons, strict=True):
                if reason is None:
                    yield row
                else:
                    self._figures[f"left out: {reason}"] += 1

    def summary(self) -> dict[str, object]:
        """Return the number of pages found, and of those dropped by reason."""
        return {"search": self._search.spec, "pages": dict(self._figures)}

    def _pair(self, query: Row, page: dict[str, str], rank: int, retrieved_at: str) -> Row:
        texts = {"title": page["title"], "document": page["text"]}
        ids = {"query_id": query["query_id"], "query": query["query"], "doc_id": doc_id(texts)}
        found = {"source": self._source, "source_rank": rank}
        rest = {"url": page["url"], "retrieved_at": retrieved_at}
        return ids | texts | found | rest | query


def _query_fields(row: Row) -> Row:
    """Return the query's fields: all but a page's, or few of a row with documents."""
    if _HOLDS_DOCUMENTS & row.keys():
        return {name: row[name] for name in _OF_A_QUERY if name in row}
    return {name: value for name, value in row.items() if name not in _OF_A_PAGE}
