"""Rerank for one query that the user typed: every input row is a document."""

from collections.abc import Mapping

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import GroupWork, RowWork
from prism_cli.reranker import Reranker
from prism_cli.rows.best_documents import BestDocuments
from prism_cli.rows.row import Row, query_key
from prism_cli.stages.rerank import RerankStage

_PLACE = "\0index"
"""Holds a row's place among the documents from `work` to `render`."""


class RerankQueryStage(RerankStage):
    """Puts one query into every row and remembers the best documents.

    Args:
        query: what the user typed.
        shown: how many documents are remembered, in `best`.
        writes: whether rows are written to the output.
    """

    takes_documents = True

    def __init__(
        self,
        reranker: Reranker,
        options: RankOptions,
        query: str,
        shown: int,
        *,
        writes: bool,
        figures: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(reranker, options, figures=figures)
        self._query, self._writes = query, writes
        self._key = query_key({"query": query})
        self._documents = 0
        self.best = BestDocuments(shown)

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """The document on one line, with the query.

        Raises:
            RowError: as `decode_row`, or the row has another query.
        """
        row = super().decode(raw, fields)
        own = row.get("query")
        if own not in (None, "", self._query):
            raise RowError(
                "query",
                f"expected none, as --query gives it, or the same text; found {str(own)[:60]!r}",
            )
        return row | {"query": self._query}

    def work(self, row: Row) -> RowWork:
        """As `RerankStage` does."""
        return super().work(self._numbered(row))

    def work_group(self, rows: list[Row]) -> GroupWork:
        """The same for pair rows that compete."""
        return super().work_group([self._numbered(row) for row in rows])

    def group_of(self, row: Row) -> bytes:
        """All pair rows are documents of the one query, whatever query_id stands in them."""
        return b"" if "documents" in row else self._key

    def render(self, row: Row) -> bytes:
        """Remember the row; its line where rows are written."""
        self.best.add(row, row.pop(_PLACE))
        return RowStage.render(self, row) if self._writes else b""

    def _numbered(self, row: Row) -> Row:
        row[_PLACE] = self._documents
        self._documents += len(row["documents"]) if "documents" in row else 1
        return row
