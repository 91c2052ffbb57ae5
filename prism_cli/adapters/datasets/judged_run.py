"""A TREC run and judgements alone: what can be measured where corpus and queries are elsewhere."""

from collections.abc import Iterator
from pathlib import Path

from prism_cli.adapters.datasets.beir import read_qrels
from prism_cli.errors import MissingDataError
from prism_cli.files.compressed import plain_name


class JudgedQueries:
    """A data set of judgements alone: TREC's four columns, or BEIR's three.

    Its name is that of the file, less its suffixes. It has one split, whatever that is called, and
    no texts, so that no model can read them.

    Raises:
        MissingDataError: no such file.
    """

    origin = None

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MissingDataError(
                f"{path}: no such file; --qrels expects judgements (query, document, grade, or "
                "TREC's query, iteration, document, grade)"
            )
        self._path = path
        self.name = Path(plain_name(path)).stem

    def files(self, split: str) -> list[Path]:
        """The file."""
        return [self._path]

    def texts(self) -> Iterator[tuple[str, str]]:
        """None."""
        return iter(())

    def queries(self) -> Iterator[tuple[str, str]]:
        """The judged ones, each with its id for a text, in file order."""
        return ((one, one) for one in read_qrels(self._path))

    def judged_queries(self, split: str, limit: int | None = None) -> list[tuple[str, str]]:
        """The first `limit` of them."""
        return list(self.queries())[:limit]

    def qrels(self, split: str) -> dict[str, dict[str, int]]:
        """query_id -> doc_id -> grade.

        Raises:
            MissingDataError: see `read_qrels`.
        """
        return read_qrels(self._path)

    def unknown_queries(self, split: str) -> list[str]:
        """None: there are no others."""
        return []

    def missing_documents(self, split: str) -> list[str]:
        """None, as the corpus is not known."""
        return []
