"""Data set of judgements alone, for evaluating a TREC run without corpus and queries."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from prism_cli.adapters.datasets.beir_files import read_qrels
from prism_cli.errors import MissingDataError
from prism_cli.files.compressed import plain_name


class JudgedQueries:
    """A data set of judgements alone: TREC's four columns, or BEIR's three.

    Its name is the file's name without suffixes. It has one split, under any name, and no texts, so
    that no model can score it.

    Raises:
        MissingDataError: there is no such file.
    """

    origin = None
    splits: ClassVar[list[str]] = []

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MissingDataError(
                f"{path}: no such file; --qrels expects judgements (query, document, grade, or "
                "TREC's query, iteration, document, grade)"
            )
        self._path = path
        self.name = Path(plain_name(path)).stem

    def files(self, split: str) -> list[Path]:
        """Return the file."""
        return [self._path]

    def texts(self) -> Iterator[tuple[str, str]]:
        """Return an empty iterator."""
        return iter(())

    def passages(self) -> Iterator[tuple[str, str, str]]:
        """Return an empty iterator."""
        return iter(())

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield the judged queries in file order, each with its id as text."""
        return ((query_id, query_id) for query_id in read_qrels(self._path))

    def judged_queries(self, split: str, limit: int | None = None) -> list[tuple[str, str]]:
        """Return the first `limit` queries."""
        return list(self.queries())[:limit]

    def qrels(self, split: str) -> dict[str, dict[str, int]]:
        """Return query_id -> doc_id -> grade.

        Raises:
            MissingDataError: see `read_qrels`.
        """
        return read_qrels(self._path)

    def unknown_queries(self, split: str) -> list[str]:
        """Return []: all queries are judged."""
        return []

    def missing_documents(self, split: str) -> list[str]:
        """Return [], as the corpus is unknown."""
        return []
