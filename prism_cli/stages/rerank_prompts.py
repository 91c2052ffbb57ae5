"""What `rerank --print-prompts` writes: what a model would be given, without a model."""

from typing import ClassVar, Protocol

from prism_cli.engine.stage import RowStage
from prism_cli.ports import Outcome
from prism_cli.rows.candidates import candidates, check_rerank_row
from prism_cli.rows.row import Row, doc_id, document_text, query_id


class Prompter(Protocol):
    """Text and token ids of prompts."""

    def text(self, query: str, document: str) -> str:
        """The prompt with query and document verbatim."""

    def ids(self, query: str, document: str) -> list[int]:
        """Its token ids, the document cut where needed; RowError where the query is too long."""


class RerankPromptsStage(RowStage):
    """{query_id, doc_id, prompt, ids} for each pair, and for each document of a query."""

    name: ClassVar[str] = "prompts"

    def __init__(self, prompter: Prompter) -> None:
        self._prompter = prompter

    def check(self, row: Row) -> None:
        """As `rerank` does."""
        check_rerank_row(row)

    def work(self, row: Row) -> Outcome:
        """One row a prompt."""
        pairs = candidates(row) if "documents" in row else [(doc_id(row), document_text(row))]
        return [
            {
                "query_id": query_id(row),
                "doc_id": name,
                "prompt": self._prompter.text(row["query"], text),
                "ids": self._prompter.ids(row["query"], text),
            }
            for name, text in pairs
        ]
