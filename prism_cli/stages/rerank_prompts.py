"""Stage of `rerank --print-prompts`: writes the prompts of a model, without the model."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

from prism_cli.engine.stage import RowStage
from prism_cli.errors import SkippedRowError
from prism_cli.ports import Outcome, RerankTask
from prism_cli.rows.candidates import Candidate, candidates, check_rerank_row, pair_candidate
from prism_cli.rows.row import Row, query_id
from prism_cli.stages.rerank_query import OTHER_QUESTION, other_question


class Prompter(Protocol):
    """Renders and tokenizes prompts."""

    def text(self, query: str, document: str) -> str:
        """Return the prompt with query and document verbatim."""

    def ids(self, query: str, document: str) -> list[int]:
        """Return its token ids, with the document truncated; RowError for a long query."""


class Splitter(Protocol):
    """Splits documents that do not fit into windows."""

    def windows(self, task: RerankTask) -> list[tuple[int, int]]:
        """Return the windows; [] for a document that fits."""

    def part(self, task: RerankTask, span: tuple[int, int]) -> RerankTask:
        """Return the task of one window."""


class RerankPromptsStage(RowStage):
    """Writes {query_id, doc_id, prompt, ids} for each pair, and for each document of a query; for a
    document in windows one row per window, with `windows` and its range `window`.

    Args:
        splitter: None to cut long documents.
        query: a query for all rows, which are documents then.
    """

    name: ClassVar[str] = "prompts"

    def __init__(
        self, prompter: Prompter, splitter: Splitter | None = None, query: str | None = None
    ) -> None:
        self._prompter, self._splitter, self._query = prompter, splitter, query
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
            {"query_id": query_id(row), "doc_id": document.doc_id} | fields
            for document in documents
            for fields in self._prompts(row["query"], document)
        ]

    def _prompts(self, query: str, document: Candidate) -> Iterator[Row]:
        """Yield prompt and ids of a document, or of each of its windows."""
        task = RerankTask(query, document.text, body=document.body)
        splitter = self._splitter
        spans = splitter.windows(task) if splitter else []
        if not (splitter and spans):
            yield self._prompt(task)
            return
        for start, end in spans:
            window = [max(0, place - document.body) for place in (start, end)]
            fields = self._prompt(splitter.part(task, (start, end)))
            yield fields | {"windows": len(spans), "window": window}

    def _prompt(self, task: RerankTask) -> Row:
        pair = task.query, task.document
        return {"prompt": self._prompter.text(*pair), "ids": self._prompter.ids(*pair)}
