"""Pair rows as a BEIR folder: corpus.jsonl, queries.jsonl and qrels/test.tsv."""

import orjson

from prism_cli.adapters.shapes.base import LABEL_FIELDS, TEXT_FIELDS, Reader, ShapeSettings
from prism_cli.adapters.shapes.trec_writers import QrelsWriter, check_ids
from prism_cli.errors import RowError, UsageError
from prism_cli.rows.row import Row, doc_id, query_id, texts_digest
from prism_cli.shards.spill import SeenTexts

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels/test.tsv"
_COLUMNS = ("query-id", "corpus-id", "score")
_CARRIED = TEXT_FIELDS | LABEL_FIELDS | {"query_id", "doc_id"}


class BeirWriter(QrelsWriter):
    """A document and a query for each id, and a judgement for each pair row that has a label.

    An id stands for one text: a row whose id came with another one is rejected.
    """

    outputs = (CORPUS, QUERIES, QRELS)

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._documents, self._queries = _Ids("doc_id"), _Ids("query_id")
        self._headed = False

    def check(self, row: Row) -> str | None:
        """Ids without blanks, each with its one text, and a label that can be read if any."""
        check_ids(row)
        self.positive(row)
        self._queries.check(query_id(row), row["query"])
        self._documents.check(doc_id(row), row.get("title") or "", row["document"])
        return None

    def write(self, rows: list[Row]) -> list[Row]:
        """What of the rows is new: documents, queries, judgements."""
        found: list[Row] = []
        for row in rows:
            self.leave_out(row, _CARRIED)
            query, document = query_id(row), doc_id(row)
            if self._documents.is_new(document):
                title = row.get("title") or ""
                found.append({"_id": document, "title": title, "text": row["document"]})
                self.figures["documents"] += 1
            if self._queries.is_new(query):
                found.append({"_id": query, "text": row["query"]})
                self.figures["queries"] += 1
            if self.positive(row) is None:
                self.figures["pairs without a label, not judged"] += 1
                continue
            (one,) = self.judgements([row])
            if not self._headed:
                found.append(dict(zip(_COLUMNS, _COLUMNS, strict=True)))
                self._headed = True
            found.append(dict(zip(_COLUMNS, one.values(), strict=True)))
            self.figures["judgements"] += 1
        return found

    def output_of(self, row: Row) -> str:
        """By the fields that its rows have."""
        return QRELS if "_id" not in row else CORPUS if "title" in row else QUERIES

    def render(self, row: Row) -> bytes:
        """A line of JSON, or of three columns."""
        if "_id" in row:
            return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        return "\t".join(map(str, row.values())).encode() + b"\n"


def no_reader(_: ShapeSettings) -> Reader:
    """Raises UsageError: a BEIR folder is no file of rows."""
    raise UsageError("--from beir: a BEIR folder is read by `prism collect DIR`")


class _Ids:
    """The ids of one kind: what each stands for, and which were written."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._texts, self._written = SeenTexts(), SeenTexts()
        self._number = 0

    def check(self, name: str, *texts: str) -> None:
        if self._texts.conflicts(name.encode(), texts_digest(*texts)):
            raise RowError(
                self._field, f"{name[:60]!r} came before with another text; one id, one text"
            )

    def is_new(self, name: str) -> bool:
        self._number += 1
        return not self._written.conflicts(name.encode(), str(self._number).encode())
