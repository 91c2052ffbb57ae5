"""Stage of `rerank --print-prompts`: writes the prompts of a model, without the model."""

from typing import ClassVar, Protocol

from prism_cli.engine.stage import RowStage
from prism_cli.ports import Outcome
from prism_cli.rows.candidates import candidates, check_rerank_row, pair_candidate
from prism_cli.rows.row import Row, query_id


class Prompter(Protocol):
    """Renders and tokenizes prompts."""

    def text(self, query: str, document: str) -> str:
        """Return the prompt with query and document verbatim."""

    def ids(self, query: str, document: str) -> list[int]:
        """Return its token ids, with the document truncated; RowError for a long query."""


class RerankPromptsStage(RowStage):
    """Writes {query_id, doc_id, prompt, ids} for each pair, and for each document of a query."""

    name: ClassVar[str] = "prompts"

    def __init__(self, prompter: Prompter) -> None:
        self._prompter = prompter

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
