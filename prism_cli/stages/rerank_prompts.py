"""Stage of `rerank --print-prompts`: writes the prompts of a model, without the model."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from prism_cli.engine.stage import RowStage
from prism_cli.errors import SkippedRowError
from prism_cli.ports import Outcome
from prism_cli.rows.candidates import candidates, check_rerank_row, pair_candidate
from prism_cli.rows.row import Row, query_id
from prism_cli.stages.rerank_query import OTHER_QUESTION, other_question


class Prompter(Protocol):
    """Renders and tokenizes prompts."""

    def text(self, query: str, document: str) -> str:
        """Return the prompt with query and document verbatim."""

    def ids(self, query: str, document: str) -> list[int]:
        """Return its token ids, with the document truncated; RowError for a long query."""


class RerankPromptsStage(RowStage):
    """Writes {query_id, doc_id, prompt, ids} for each pair, and for each document of a query.

    Args:
        query: a query for all rows, which are documents then.
    """

    name: ClassVar[str] = "prompts"

    def __init__(self, prompter: Prompter, query: str | None = None) -> None:
        self._prompter, self._query = prompter, query
        self.takes_documents = query is not None

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Return the row; if one query is given, a document with it, as `RerankQueryStage`."""
        row = super().decode(raw, fields)
        if self._query is None:
            return row
        if other_question(row, self._query):
            raise SkippedRowError("query", OTHER_QUESTION)
        return row | {"query": self._query}

    def check(self, row: Row) -> None:
        """Check the row as `rerank` does."""
        check_rerank_row(row)

    def work(self, row: Row) -> Outcome:
        """Return one row per prompt."""
        documents = candidates(row) if "documents" in row else [pair_candidate(row)]
        return [
            {
                "query_id": query_id(row),
                "doc_id": name,
                "prompt": self._prompter.text(row["query"], text),
                "ids": self._prompter.ids(row["query"], text),
            }
            for name, text, _ in documents
        ]
