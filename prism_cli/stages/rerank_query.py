"""Rerank for one query that the user typed: every input row is a document."""

from collections.abc import Mapping

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.engine.stage import RowStage
from prism_cli.errors import SkippedRowError
from prism_cli.ports import GroupWork, RowWork
from prism_cli.reranker import Reranker
from prism_cli.rows.best_documents import BestDocuments
from prism_cli.rows.row import Row, query_key, string_field
from prism_cli.rows.texts import is_blank
from prism_cli.stages.rerank import RerankStage

OTHER_QUESTION = "another question"
"""Why a row with a query of its own is left out."""
MOST_OTHERS = 10_000
"""Other questions that are remembered, to find the one that is most like the query."""
_PLACE = "\0index"
"""Holds a row's place among the documents from `work` to `render`."""


def other_question(row: Row, query: str) -> str:
    """The row's own query where it is not `query`; "" for a document of `query`.

    Raises:
        RowError: it is no string.
    """
    own = string_field(row, "query", required=False)
    return "" if own == query or is_blank(own) else own


class RerankQueryStage(RerankStage):
    """Puts one query into every row without one and remembers the best documents. Rows that hold
    another query are left out.

    Args:
        query: what the user typed.
        shown: how many documents are remembered, in `best`.
        writes: whether rows are written to the output.

    Attributes:
        best: the best documents.
        held: whether a row is a document of the query.
        others: queries of rows that were left out, the first of them.
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
        self.held = False
        self.others: set[str] = set()

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """The document on one line, with the query.

        Raises:
            SkippedRowError: the row has another query.
            RowError: as `decode_row`.
        """
        row = super().decode(raw, fields)
        if other := other_question(row, self._query):
            if len(self.others) < MOST_OTHERS:
                self.others.add(other)
            raise SkippedRowError("query", OTHER_QUESTION)
        self.held = True
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
