"""BEIR folders: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv and optional files beside them."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from prism_cli.adapters.datasets.beir_files import (
    Passage,
    read_corpus,
    read_qrels,
    read_queries,
    read_rows,
    text_of,
)
from prism_cli.errors import MissingDataError
from prism_cli.files.compressed import plain_name, plain_or_compressed
from prism_cli.rows.marks import CorpusMarks
from prism_cli.rows.texts import titled

SWAPPED = (
    "its ids are of another data set, or its columns are swapped (expected query, document, grade, "
    "or TREC's query, iteration, document, grade)"
)
MARKS = "gold.jsonl"
"""Optional file next to qrels/ with the annotations of the corpus's writers, one row per pair."""
_MARKED_TEXTS = ("contribution", "evidence")
ORIGIN = "origin.txt"
"""File in the folder of a downloaded set that says where it was downloaded from."""


class BeirSet:
    """One BEIR folder.

    Args:
        folder: folder with corpus.jsonl, queries.jsonl and qrels/.

    Raises:
        MissingDataError: the folder or a part of it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = Path(os.path.abspath(folder)).name  # name of a link, not of its target
        if folder.is_file():
            raise MissingDataError(
                f"{folder}: is a file; expected a BEIR folder. A TREC run is evaluated as "
                f"`prism eval BEIR_FOLDER --first-stage {folder}`, or without texts as "
                f"`prism eval {folder} --qrels FILE`"
            )
        if not folder.is_dir():
            raise MissingDataError(f"{folder}: no such folder; expected a BEIR folder")
        self.corpus_file = self._part("corpus.jsonl")
        self.queries_file = self._part("queries.jsonl")

    @property
    def origin(self) -> str | None:
        """URL or path from which the set was downloaded; None if unknown."""
        path = self.folder / ORIGIN
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None

    @property
    def splits(self) -> list[str]:
        """Names of the splits that have judgements, sorted."""
        names = (plain_name(path) for path in (self.folder / "qrels").glob("*.tsv*"))
        return sorted({name.removesuffix(".tsv") for name in names if name.endswith(".tsv")})

    def files(self, split: str) -> list[Path]:
        """Return the files that hold this split.

        Raises:
            MissingDataError: there is no such split; names the existing ones.
        """
        return [self.corpus_file, self.queries_file, self._qrels(split)]

    def corpus(self) -> Iterator[Passage]:
        """Yield all documents in file order, see `read_corpus`.

        Raises:
            MissingDataError: a bad line, a repeated id, or no document at all.
        """
        yield from read_corpus(self.corpus_file)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield (doc_id, text with the title, if any, in front) of every document, as `corpus`."""
        for passage in self.corpus():
            yield passage.doc_id, titled(passage.title, passage.text)

    def passages(self) -> Iterator[tuple[str, str, str]]:
        """Yield (doc_id, title, text) of every document, as `corpus`."""
        for passage in self.corpus():
            yield passage.doc_id, passage.title, passage.text

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield (query_id, query) of all queries, in file order.

        Raises:
            MissingDataError: a bad line, a blank query, a repeated id, or no query at all.
        """
        yield from read_queries(self.queries_file)

    def qrels(self, split: str) -> dict[str, dict[str, int]]:
        """Return the judgements of a split: query_id -> doc_id -> grade, in file order.

        Raises:
            MissingDataError: no such split, a bad line, two grades for one pair, or no judgement.
        """
        return read_qrels(self._qrels(split))

    @property
    def marks_file(self) -> Path | None:
        """Path of gold.jsonl, plain or compressed; None if there is none."""
        return plain_or_compressed(self.folder / MARKS)

    def marks(self) -> dict[str, dict[str, CorpusMarks]]:
        """Return query_id -> doc_id -> annotations, of the rows that name a document, as `eval
        quality --gold` reads them; {} if there is no such file.

        Raises:
            MissingDataError: a bad line.
        """
        return self._marks

    @cached_property
    def _marks(self) -> dict[str, dict[str, CorpusMarks]]:
        marks: dict[str, dict[str, CorpusMarks]] = {}
        for where, row in read_rows(self.marks_file) if self.marks_file else ():
            if query_id := text_of(row, "query_id", where, required=False):
                of_query = marks.setdefault(query_id, {})
                texts = (text_of(row, name, where, required=False) for name in _MARKED_TEXTS)
                if doc_id := text_of(row, "doc_id", where, required=False):
                    of_query[doc_id] = CorpusMarks(row.get("answerable") is not False, *texts)
        return marks

    def marked_queries(self, split: str) -> set[str]:
        """Return the ids of queries with marks and without judgements, which no document answers;
        an empty set if there are other splits, to which they may belong.

        Raises:
            MissingDataError: as `marks` and `qrels`.
        """
        return self.marks().keys() - self.qrels(split).keys() if self.splits == [split] else set()

    def judged_queries(self, split: str, limit: int | None = None) -> list[tuple[str, str]]:
        """Return the first `limit` queries, in file order, that have judgements in the split.

        Raises:
            MissingDataError: none of the judged queries is in queries.jsonl.
        """
        judged = self.qrels(split)
        queries = [(query_id, query) for query_id, query in self.queries() if query_id in judged]
        if not queries:
            raise MissingDataError(
                f"{self._qrels(split)}: query-id: none of its {len(judged)} queries is in "
                f"{self.queries_file.name}, such as {next(iter(judged))!r}; {SWAPPED}"
            )
        return queries[:limit]

    def unknown_queries(self, split: str) -> list[str]:
        """Return judged queries of the split that are missing in queries.jsonl."""
        known = {query_id for query_id, _ in self.queries()}
        return [query_id for query_id in self.qrels(split) if query_id not in known]

    def missing_documents(self, split: str) -> list[str]:
        """Return judged documents of the split that are missing in the corpus, in one pass over it.

        They count as not retrieved, as in trec_eval. Some published sets have a few.

        Raises:
            MissingDataError: all judged documents are missing.
        """
        judged = dict.fromkeys(doc_id for grades in self.qrels(split).values() for doc_id in grades)
        missing = dict(judged)
        for passage in self.corpus():
            missing.pop(passage.doc_id, None)
        if len(missing) == len(judged):
            raise MissingDataError(
                f"{self._qrels(split)}: corpus-id: none of its {len(judged)} documents is in "
                f"{self.corpus_file.name}, such as {next(iter(judged))!r}; {SWAPPED}"
            )
        return list(missing)

    def _part(self, name: str) -> Path:
        if path := plain_or_compressed(self.folder / name):
            return path
        raise MissingDataError(
            f"{self.folder}: no {name}; a BEIR folder holds corpus.jsonl, queries.jsonl and "
            "qrels/SPLIT.tsv"
        )

    def _qrels(self, split: str) -> Path:
        if path := plain_or_compressed(self.folder / "qrels" / f"{split}.tsv"):
            return path
        have = f"it has {', '.join(self.splits)}" if self.splits else "qrels/ has no .tsv file"
        raise MissingDataError(f"{self.folder}: no split {split!r}; {have}")
