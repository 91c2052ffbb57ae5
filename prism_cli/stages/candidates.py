"""Queries and a corpus without judgements as {query, documents} rows: a first stage's candidates.

A corpus consists of rows of {doc_id, title, document}, BEIR's {_id, title, text}, or a folder of
documents; queries are rows of {query_id, query}, BEIR's {_id, text}, or lines of text.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256

import orjson

from prism_cli.domain.unknown_ids import LEFT_OUT, check_listed_ids
from prism_cli.errors import MissingDataError, RowError, SkippedRowError
from prism_cli.files.compressed import plain_name
from prism_cli.files.lines import not_utf8
from prism_cli.ports import FirstStage
from prism_cli.rows.decode import Unreadable, decode_row, explained_reason, place_of
from prism_cli.rows.ids import id_text, is_id_name
from prism_cli.rows.row import Row, RowRef, doc_id, query_id, string_field, texts_digest
from prism_cli.rows.texts import titled
from prism_cli.shards.reader import Shard
from prism_cli.shards.spill import SeenTexts
from prism_cli.shards.stored_corpus import StoredCorpus

_OF_DOCUMENTS = ("document", "documents", "pos", "neg")
DOCUMENT_FIELDS = ("doc_id", "title", "document")
"""Fields that --field maps in a corpus; it maps all others in queries."""


class Corpus:
    """The documents of some files, read once and stored on disk.

    Args:
        fields: contract name -> name in the files.

    Attributes:
        refused: rows that are not documents, to be rejected; complete after the first read.
    """

    def __init__(self, shards: Sequence[Shard], fields: Mapping[str, str]) -> None:
        self.name = ", ".join(shard.name for shard in shards)
        self.refused: list[Unreadable] = []
        self._shards, self._fields = shards, fields

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield (doc_id, text with its title) of every document, in order."""
        yield from ((name, titled(title, text)) for name, title, text in self._stored)

    def document(self, name: str) -> dict[str, str] | None:
        """Return the document with this id; None without one."""
        if (document := self._stored.find(name)) is None:
            return None
        title, text = document
        return {"doc_id": name, **({"title": title} if title else {}), "text": text}

    @cached_property
    def _stored(self) -> StoredCorpus:
        stored = StoredCorpus(self._documents())
        if not len(stored):
            first = f"; the first: {_first_refusal(self.refused)}" if self.refused else ""
            raise MissingDataError(f"{self.name}: has no documents{first}")
        return stored

    def _documents(self) -> Iterator[tuple[str, str, str]]:
        """Yield each document once; a repeated one with the same text is skipped."""
        seen = SeenTexts()
        for number, (place, raw) in enumerate(_lines(self._shards, self._fields)):
            try:
                name, title, text = _document(decode_row(raw, self._fields))
                digest = texts_digest(title, text)
                entry = digest + str(number).encode()
                first = seen.first(name.encode("utf-8", "surrogatepass"), entry)
                if not first.startswith(digest):
                    raise RowError("doc_id", f"{name!r} came before with another text")
            except RowError as error:
                self.refused.append(_refused(raw, place, error))
                continue
            if first == entry:
                yield name, title, text


class CandidateQueries:
    """A source of rows: each query with the documents that a first stage finds for it.

    Args:
        first_stage: ranks the documents of `corpus`.
        count: documents per query.
        source: value of `source`.
        report: called with each message.
    """

    def __init__(
        self,
        corpus: Corpus,
        queries: Sequence[Shard],
        fields: Mapping[str, str],
        first_stage: FirstStage,
        count: int,
        source: str,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._report = report
        self._corpus, self._shards = corpus, queries
        self._fields = {name: fields[name] for name in fields if name not in DOCUMENT_FIELDS}
        self._all_fields = dict(fields)
        self._first_stage, self._count, self._source = first_stage, count, source
        self.name = ", ".join([corpus.name, *(shard.name for shard in queries)])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the settings; the files are the run's dependencies."""
        settings = (self._first_stage.fingerprint, self._count, self._source, self._all_fields)
        return sha256(repr(settings).encode()).hexdigest()

    def lines(self) -> Iterator[bytes]:
        """Yield one JSON row per query, in order, then unreadable rows of queries and corpus.

        Raises:
            MissingDataError: there is no document, or no query.
        """
        refused: list[Unreadable] = []
        rows = list(self._queries(refused))
        if not rows:
            first = f"; the first: {_first_refusal(refused)}" if refused else ""
            raise MissingDataError(f"{self._shards[0].name}: has no queries{first}")
        queries = [(row["query_id"], row["query"]) for row in rows]
        check_listed_ids(
            self._first_stage,
            self.name,
            lambda: queries,
            self._corpus.texts,
            self._report,
            LEFT_OUT,
        )
        for row, hits in zip(rows, self._first_stage.search(queries, self._count), strict=True):
            documents = [
                document | {"source_rank": rank, "source_score": score}
                for rank, (name, score) in enumerate(hits, 1)
                if (document := self._corpus.document(name))
            ]
            yield orjson.dumps(row | {"documents": documents}, option=orjson.OPT_APPEND_NEWLINE)
        yield from refused
        yield from self._corpus.refused

    def _queries(self, refused: list[Unreadable]) -> Iterator[Row]:
        seen: dict[str, str] = {}
        for place, raw in _lines(self._shards, self._fields, questions=True):
            try:
                row = _query(decode_row(raw, self._fields))
                earlier = seen.get(row["query_id"])
                if earlier not in (None, row["query"]):
                    raise RowError(
                        "query_id", f"{row['query_id']!r} came before with another query"
                    )
            except RowError as error:
                refused.append(_refused(raw, place, error))
                continue
            if earlier is None:
                seen[row["query_id"]] = row["query"]
                yield row | {"source": row.get("source") or self._source}


def _lines(
    shards: Sequence[Shard], fields: Mapping[str, str], *, questions: bool = False
) -> Iterator[tuple[RowRef, bytes]]:
    """Yield (place, JSON line) of each row; for queries in a text file, of each line."""
    for shard in shards:
        rows = _text_questions(shard, fields) if questions else None
        if rows is None:
            rows = shard.numbered(fields=fields)
        for number, raw in rows:
            if raw.strip():
                yield RowRef(shard.name, number), raw


def _text_questions(shard: Shard, fields: Mapping[str, str]) -> Iterator[tuple[int, bytes]] | None:
    """Yield the lines of a text file, or of a TSV without header (id, tab, text), as rows; None for
    other files.

    Raises:
        MissingDataError: the shard has other documents.
    """
    text = plain_name(shard.path).lower().endswith(".txt")
    if shard.format == "documents" and not text:
        raise MissingDataError(
            f"{shard.name}: has documents; expected queries as lines of a .txt file, or as "
            "rows of JSONL, CSV, TSV, Parquet or JSON"
        )
    tabbed = shard.format == "tsv" and not _has_header(shard, fields)
    if not text and not tabbed:
        return None
    return ((number, _question(raw, tabbed)) for number, raw in enumerate(shard.lines(), 1))


def _has_header(shard: Shard, fields: Mapping[str, str]) -> bool:
    first = next(shard.lines(), b"").decode("utf-8-sig", "replace")
    first_name, *others = (column.strip().strip('"') for column in first.split("\t"))
    named = {first_name, *others} & {"query", "text", fields.get("query")}
    is_name = is_id_name(first_name) and not re.search(r"[\d.]", first_name)  # Q1.id is an id
    return bool(named) or bool(others and is_name)


def _question(raw: bytes, tabbed: bool) -> bytes:
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        return Unreadable(raw, "", not_utf8(raw, error))
    name, tab, query = text.partition("\t")
    if tabbed and not tab and text:
        return Unreadable(raw, "", f"expected id, tab, query, found {text[:60]!r}")
    row = {"query_id": name.strip(), "query": query} if tabbed else {"query": text}
    return orjson.dumps(row) if text else b""


def _first_refusal(refused: Sequence[Unreadable]) -> str:
    first = refused[0]
    return f"{first.ref}: {RowError(first.field, first.reason)}"


def _refused(raw: bytes, place: RowRef, error: RowError) -> Unreadable:
    ref = place_of(raw, place)
    skipped = isinstance(error, SkippedRowError)
    return Unreadable(raw, error.field, explained_reason(raw, error), ref=ref, skipped=skipped)


def _document(row: Row) -> tuple[str, str, str]:
    row = _named(row, {"_id": "doc_id", "text": "document"})
    text = string_field(row, "document", blank=False)
    title = string_field(row, "title", required=False)
    string_field(row, "doc_id", required=False)
    return doc_id(row), title, text


def _query(row: Row) -> Row:
    if wrong := [name for name in _OF_DOCUMENTS if name in row]:
        raise RowError(wrong[0], "expected a row with a query and no documents")
    row = _named(row, {"_id": "query_id", "text": "query"})
    row["query"] = string_field(row, "query", blank=False)
    string_field(row, "query_id", required=False)
    return {"query_id": query_id(row)} | {
        name: value for name, value in row.items() if name != "query_id"
    }


def _named(row: Row, names: Mapping[str, str]) -> Row:
    """Rename BEIR's fields to ours, where ours are absent."""
    row = dict(row)
    for foreign, own in names.items():
        if foreign in row and own not in row:
            row[own] = id_text(row.pop(foreign), foreign)
    return row
