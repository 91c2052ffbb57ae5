"""A TREC run file as first stage: candidates retrieved by another system."""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from prism_cli.domain.metrics import ranked
from prism_cli.domain.trec import RankOrder, RunLine, parse_run_line
from prism_cli.errors import MissingDataError, RowError
from prism_cli.files.digest import file_sha256
from prism_cli.files.text import text_lines

DATASET = "{dataset}"
"""Placeholder for the data set's name in the pattern of run files."""


def run_of(pattern: str, dataset: str) -> "TrecRunFirstStage":
    """Return the run of one data set, named by the part that all data sets' runs share: the rest of
    the stem, else the folder, else `run`."""
    path = Path(pattern)
    names = (part.replace(DATASET, "").strip("._-") for part in (path.stem, path.parent.name))
    name = next((name for name in names if name), "run")
    return TrecRunFirstStage(Path(pattern.replace(DATASET, dataset)), name)


class TrecRunFirstStage:
    """The candidates of a run file; queries that are not in it have none.

    Args:
        path: the file.
        name: name of the ranking; the file's stem by default.

    Raises:
        MissingDataError: there is no such file.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        if not path.is_file():
            raise MissingDataError(
                f"{path}: no such first stage; expected bm25, st:MODEL or a TREC run file"
            )
        self.path = path
        self.spec = name or path.stem
        self.warning = ""
        self.fingerprint = f"trec-run {file_sha256(path)}"

    def search(
        self, queries: Sequence[tuple[str, str]], top_k: int
    ) -> Iterator[list[tuple[str, float]]]:
        """Yield the best `top_k` of each query by score, then document id, as in trec_eval.

        Raises:
            MissingDataError: a bad line, a repeated document, or none of these queries.
        """
        run = self._read({query_id for query_id, _ in queries})
        if queries and not run:
            raise MissingDataError(
                f"{self.path}: ranks none of the {len(queries)} queries, such as {queries[0][0]!r}"
            )
        for query_id, _ in queries:
            yield ranked(list(run.get(query_id, {}).items()))[:top_k]

    def depth(self) -> int:
        """Return the number of documents of the query that has most.

        Raises:
            MissingDataError: a bad line.
        """
        return max(Counter(query_id for _, (query_id, *_) in self._lines()).values(), default=0)

    def listed(self, queries: Container[str]) -> tuple[dict[str, int], dict[str, int]]:
        """Return all query ids, and the document ids of `queries`, each with its first line number.

        Raises:
            MissingDataError: a bad line.
        """
        seen: dict[str, int] = {}
        documents: dict[str, int] = {}
        order = RankOrder()
        for number, (query_id, doc_id, rank, score) in self._lines():
            order.note(query_id, rank, score, f"{self.path}:{number}")
            seen.setdefault(query_id, number)
            if query_id in queries:
                documents.setdefault(doc_id, number)
        self.warning = order.warning
        return seen, documents

    def _read(self, wanted: set[str]) -> dict[str, dict[str, float]]:
        run: dict[str, dict[str, float]] = {}
        for number, (query_id, doc_id, _, score) in self._lines():
            if query_id in wanted:
                hits = run.setdefault(query_id, {})
                if doc_id in hits:
                    raise MissingDataError(
                        f"{self.path}:{number}: {doc_id!r} is repeated for query {query_id!r}"
                    )
                hits[doc_id] = score
        return run

    def _lines(self) -> Iterator[tuple[int, RunLine]]:
        """Yield number and columns of each line that is not blank."""
        for number, line in enumerate(text_lines(self.path), 1):
            if not line.strip():
                continue
            try:
                yield number, parse_run_line(line)
            except RowError as error:
                raise MissingDataError(f"{self.path}:{number}: {error}") from None
