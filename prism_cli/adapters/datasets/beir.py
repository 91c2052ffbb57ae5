"""Reader of BEIR folders: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv; streamed and validated.

Only this module handles `_id`. Every file may be compressed (.gz, .zst, .bz2, .xz); line ends may
be CRLF, and a byte order mark is skipped.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prism_cli.domain.trec import check_trec_id, parse_judgement
from prism_cli.errors import MissingDataError, RowError
from prism_cli.files.compressed import COMPRESSED, plain_name
from prism_cli.files.lines import byte_lines
from prism_cli.files.text import text_lines
from prism_cli.rows.decode import decode_row, row_bytes
from prism_cli.rows.ids import id_text
from prism_cli.rows.marks import Marks
from prism_cli.rows.row import Row, json_type, string_field
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


@dataclass(frozen=True, slots=True)
class Passage:
    """One document of a corpus; `title` is "" if there is none."""

    doc_id: str
    title: str
    text: str


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
        """Where the set was downloaded from; None if unknown."""
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
        return _present(self.folder / MARKS)

    def marks(self) -> dict[str, dict[str, Marks]]:
        """Return query_id -> doc_id -> annotations, of the rows that name a document, as `eval
        quality --gold` reads them; {} if there is no such file.

        Raises:
            MissingDataError: a bad line.
        """
        return self._marks

    @cached_property
    def _marks(self) -> dict[str, dict[str, Marks]]:
        marks: dict[str, dict[str, Marks]] = {}
        for where, row in _rows(self.marks_file) if self.marks_file else ():
            if query_id := _text(row, "query_id", where, required=False):
                of_query = marks.setdefault(query_id, {})
                texts = (_text(row, name, where, required=False) for name in _MARKED_TEXTS)
                if doc_id := _text(row, "doc_id", where, required=False):
                    of_query[doc_id] = Marks(row.get("answerable") is not False, *texts)
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
        if path := _present(self.folder / name):
            return path
        raise MissingDataError(
            f"{self.folder}: no {name}; a BEIR folder holds corpus.jsonl, queries.jsonl and "
            "qrels/SPLIT.tsv"
        )

    def _qrels(self, split: str) -> Path:
        if path := _present(self.folder / "qrels" / f"{split}.tsv"):
            return path
        have = f"it has {', '.join(self.splits)}" if self.splits else "qrels/ has no .tsv file"
        raise MissingDataError(f"{self.folder}: no split {split!r}; {have}")


def _present(path: Path) -> Path | None:
    """Return the path of the plain or compressed file; None if there is none."""
    paths = (path.with_name(path.name + suffix) for suffix in ("", *COMPRESSED))
    return next((candidate for candidate in paths if candidate.is_file()), None)


def read_corpus(path: Path) -> Iterator[Passage]:
    """Yield all documents of a corpus.jsonl, in file order; only their ids are kept in memory.

    Raises:
        MissingDataError: a bad line, a repeated id, or no document at all.
    """
    seen: set[str] = set()
    for where, row in _rows(path):
        doc_id = _identifier(row, where)
        if doc_id in seen:
            raise _line_error(where, "_id", f"{doc_id!r} is repeated; expected unique document ids")
        seen.add(doc_id)
        title = _text(row, "title", where, required=False)
        yield Passage(doc_id, title, _text(row, "text", where))
    if not seen:
        raise MissingDataError(f"{path}: holds no documents")


def read_queries(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (query_id, query) of a queries.jsonl, in file order.

    Raises:
        MissingDataError: a bad line, a blank query, a repeated id, or no query at all.
    """
    seen: set[str] = set()
    for where, row in _rows(path):
        query_id = _identifier(row, where)
        if query_id in seen:
            raise _line_error(where, "_id", f"{query_id!r} is repeated; expected unique query ids")
        seen.add(query_id)
        yield query_id, _text(row, "text", where, blank=False)
    if not seen:
        raise MissingDataError(f"{path}: holds no queries")


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return query_id -> doc_id -> grade of a file of judgements, in file order; see
    `parse_judgement`.

    Raises:
        MissingDataError: a bad line, two grades for one pair, or no judgement.
    """
    grades: dict[str, dict[str, int]] = {}
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            judgement = parse_judgement(line)
        except RowError as error:
            raise _line_error(where, error.field, error.reason) from None
        if judgement is None:
            if number == 1:
                continue
            raise _line_error(where, "", f"a header after the first line: {line[:60]!r}")
        query_id, doc_id, grade = judgement
        first = grades.setdefault(query_id, {}).setdefault(doc_id, grade)
        if first != grade:
            raise _line_error(where, "score", f"{query_id} {doc_id} has grades {first} and {grade}")
    if not grades:
        raise MissingDataError(f"{path}: holds no judgements")
    return grades


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(byte_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            yield where, decode_row(row_bytes(line))
        except RowError as error:
            raise _line_error(where, error.field, error.reason) from None


def _identifier(row: Row, where: str) -> str:
    try:
        value = id_text(row.get("_id"), "_id")
    except RowError as error:
        raise _line_error(where, error.field, error.reason) from None
    if not isinstance(value, str):
        found = json_type(value) if "_id" in row else "no such field"
        raise _line_error(where, "_id", f"expected a string, found {found}")
    try:
        check_trec_id("_id", value)
    except RowError as error:
        raise _line_error(where, error.field, error.reason) from None
    return value


def _text(row: Row, field: str, where: str, *, required: bool = True, blank: bool = True) -> str:
    try:
        return string_field(row, field, required=required, blank=blank)
    except RowError as error:
        raise _line_error(where, error.field, error.reason) from None


def _line_error(where: str, field: str, reason: str) -> MissingDataError:
    place = f"{where}: {field}" if field else where
    return MissingDataError(f"{place}: {reason}; reading stopped here")
