"""Rerank for one query from the command line: every input row is a document."""

from collections.abc import Callable, Iterator, Mapping

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.engine.stage import RowStage
from prism_cli.errors import SkippedRowError
from prism_cli.ports import GroupWork, Outcome, RowWork
from prism_cli.reranker import Reranker
from prism_cli.rows.best_documents import BestDocuments
from prism_cli.rows.row import Row, doc_id, query_key, string_field
from prism_cli.rows.texts import is_blank
from prism_cli.stages.rerank import RerankStage

OTHER_QUESTION = "another question"
"""Reason for skipping a row with another query."""
MOST_OTHERS = 10_000
"""Number of other questions stored, of which the most similar one is suggested."""
FUSED_APART = (
    "rows with documents are fused by themselves, apart from the other rows: their order among "
    "each other is only that of values scaled to 0 to 1; give all documents one row each"
)
_PLACE = "\0index"
"""Field for a row's index among the documents, from `work` to `render`."""


def other_question(row: Row, query: str) -> str:
    """Return the row's own query where it is not `query`; "" for a document of `query`.

    Raises:
        RowError: it is not a string.
    """
    own = string_field(row, "query", required=False)
    return "" if own == query or is_blank(own) else own


class RerankQueryStage(RerankStage):
    """Adds one query to every row without one and stores the best documents. Rows with another
    query are skipped.

    Args:
        query: the user's query.
        shown: number of documents stored in `best`.
        writes: True to write rows to the output.

    Attributes:
        best: the best documents.
        held: True once a row was a document of the query.
        others: the first queries of skipped rows.
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
        before_load: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(reranker, options, figures=figures, before_load=before_load)
        self._query, self.writes = query, writes
        self._key = query_key({"query": query})
        self._documents = 0
        self._mixed = False
        self._requests = 0
        self.best = BestDocuments(shown)
        self.held = False
        self.others: set[str] = set()

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Return the document on one line, with the query.

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
        """Number the row, then work as `RerankStage`."""
        return super().work(self._numbered(row))

    def first_pass(self, rows: Iterator[Row]) -> None:
        """Work as `RerankStage`, and find out whether the rows have both shapes."""
        shapes = set[bool]()

        def noted() -> Iterator[Row]:
            for row in rows:
                shapes.add("documents" in row)
                yield row

        self._mixed = True
        super().first_pass(noted())
        self._mixed = len(shapes) > 1

    def work_group(self, rows: list[Row]) -> GroupWork:
        """Number the rows; rank the pair rows together and each row with `documents` by itself."""
        numbered = [self._numbered(row) for row in rows]
        pairs = [row for row in numbered if "documents" not in row]
        ranked = iter((yield from self._pairs(pairs)) if pairs else ())
        outcomes: list[Outcome] = []
        for row in numbered:
            if "documents" in row:
                outcomes.append((yield from self._with_results(row)))
            else:
                outcomes.append(next(ranked))
        return outcomes

    def group_of(self, row: Row) -> bytes:
        """Return one key for all pair rows, since all are documents of one query, and for rows with
        `documents` where these could stand between them."""
        return self._key if self._mixed or "documents" not in row else b""

    def render(self, row: Row) -> bytes:
        """Store the row among the best; return its line, with a doc_id, if rows are written."""
        if "documents" not in row:
            row["doc_id"] = doc_id(row)
        self.best.add(row, row.pop(_PLACE))
        return RowStage.render(self, row) if self.writes else b""

    def summary(self) -> dict[str, object]:
        """Return counts and options; of too many documents only shown, what is left out."""
        summary, options = super().summary(), self._options
        if options.fuse and self._requests and (self._requests > 1 or self._mixed):
            summary["hint"] = FUSED_APART
        if self.writes or "hint" not in summary:
            return summary
        lost = ["the order is that of the model alone"] if options.fuse else []
        lost += ["none gets evidence"] if options.rationed else []
        lost += ["repeats are shown"] if options.evidence and options.skip_repeats else []
        del summary["hint"]
        most = f"more than {self._most_rows:,} documents with these options"
        return summary | ({"hint": f"{most}: {', '.join(lost)}"} if lost else {})

    def _numbered(self, row: Row) -> Row:
        row[_PLACE] = self._documents
        self._requests += "documents" in row
        self._documents += len(row["documents"]) if "documents" in row else 1
        return row
