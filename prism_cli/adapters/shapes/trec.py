"""Readers of TREC's files, a run and judgements, which look up the texts of the ids."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from prism_cli.adapters.datasets.beir import SWAPPED, BeirSet
from prism_cli.adapters.datasets.beir_files import read_corpus, read_qrels, read_queries
from prism_cli.adapters.shapes.base import Reader, ShapeSettings
from prism_cli.domain.trec import (
    check_trec_id,
    parse_judgement,
    parse_run_line,
)
from prism_cli.errors import MissingDataError, RowError, UsageError
from prism_cli.files.text import text_lines
from prism_cli.rows.row import Dropped, Row
from prism_cli.rows.texts import is_blank
from prism_cli.shards.stored_corpus import StoredCorpus

_HEADER = "a header line"


class Texts:
    """Queries in memory and a corpus on disk, by id; loaded on first use.

    Args:
        settings: `corpus` is a BEIR folder or a corpus.jsonl; `queries` is a queries.jsonl or lines
            of id, tab, text; `qrels` are judgements.

    Raises:
        UsageError: corpus or queries are not given.
        MissingDataError: a file does not exist.
    """

    def __init__(self, settings: ShapeSettings) -> None:
        if settings.corpus is None:
            raise UsageError("TREC's files hold ids: name the texts with --corpus (and --queries)")
        self._corpus, queries = settings.corpus, settings.queries
        if self._corpus.is_dir():
            folder = BeirSet(self._corpus)
            self._corpus, queries = folder.corpus_file, queries or folder.queries_file
        if queries is None:
            raise UsageError(f"{self._corpus} is no BEIR folder: name the queries with --queries")
        self._queries, self._qrels = queries, settings.qrels
        self.files = tuple(path for path in (self._corpus, queries, settings.qrels) if path)
        for path in self.files:
            if not path.is_file():
                raise MissingDataError(f"{path}: no such file")

    def pair(self, query_id: str, doc_id: str) -> Row:
        """Return the pair row of two ids, with `source_label` if it was judged.

        Raises:
            RowError: an id has no text.
        """
        query = self._query_texts.get(query_id)
        if query is None:
            raise RowError("query_id", f"{query_id!r} is not in {self._queries}")
        passage = self._passages.find(doc_id)
        if passage is None:
            raise RowError("doc_id", f"{doc_id!r} is not in {self._corpus}")
        title, text = passage
        row = {"query_id": query_id, "query": query, "doc_id": doc_id}
        row |= {"title": title, "document": text} if title else {"document": text}
        grade = self._grades.get(query_id, {}).get(doc_id)
        return row if grade is None else row | {"source_label": str(grade)}

    @cached_property
    def _query_texts(self) -> dict[str, str]:
        tabbed = ".tsv" in self._queries.suffixes or ".txt" in self._queries.suffixes
        return dict(_tabbed(self._queries) if tabbed else read_queries(self._queries))

    @cached_property
    def _passages(self) -> StoredCorpus:
        passages = read_corpus(self._corpus)
        return StoredCorpus((item.doc_id, item.title, item.text) for item in passages)

    @cached_property
    def _grades(self) -> Mapping[str, Mapping[str, int]]:
        if self._qrels is None:
            return {}
        grades = read_qrels(self._qrels)
        if not grades.keys() & self._query_texts.keys():
            raise MissingDataError(
                f"{self._qrels}: none of its {len(grades)} queries is in {self._queries}, such as "
                f"{next(iter(grades))!r}; {SWAPPED}"
            )
        return grades


class RunReader(Reader):
    """Reads each line of a run as a pair row, with the first stage's rank and score.

    Args:
        settings: `score` is the field for the run's score; source_score by default.
    """

    plain_lines = True

    def __init__(self, settings: ShapeSettings) -> None:
        self._texts = Texts(settings)
        self._score = settings.score_field("source_score")
        self.files = self._texts.files

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Return the columns.

        Raises:
            RowError: the line is not a run's.
        """
        return parse_run_line(_text(raw))._asdict()

    def read(self, row: Row) -> Row:
        """Return the pair row."""
        pair = self._texts.pair(row["query_id"], row["doc_id"])
        pair["source_rank"] = row["rank"]
        self._score.put(pair, row["score"], "score")
        return pair


class QrelsReader(Reader):
    """Reads each judgement, TREC's or BEIR's, as a pair row."""

    plain_lines = True

    def __init__(self, settings: ShapeSettings) -> None:
        self._texts = Texts(settings)
        self.files = self._texts.files

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Return the columns; {} for a header.

        Raises:
            RowError: the line is not a judgement.
        """
        columns = parse_judgement(_text(raw))
        if columns is None:
            return {}
        query, document, grade = columns
        return {"query_id": query, "doc_id": document, "source_label": str(grade)}

    def read(self, row: Row) -> Row | Dropped:
        """Return the pair row."""
        if not row:
            return Dropped(_HEADER)
        return self._texts.pair(row["query_id"], row["doc_id"]) | row


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise RowError("", f"not UTF-8 at byte {error.start}") from None


def _tabbed(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text_lines(path), 1):
        name, tab, text = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not name.strip() or is_blank(text):
            raise MissingDataError(f"{path}:{number}: expected id, tab, query, found {line[:60]!r}")
        try:
            check_trec_id("id", name.strip())
        except RowError as error:
            raise MissingDataError(f"{path}:{number}: {error}") from None
        yield name.strip(), text.strip()
