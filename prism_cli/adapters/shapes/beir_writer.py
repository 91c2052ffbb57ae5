"""Writer of BEIR folders: corpus.jsonl, queries.jsonl and qrels/test.tsv."""

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
    """Writes a document or query per id, and a judgement per pair row that has a label.

    A row is rejected if one of its ids was used with another text before.
    """

    outputs = (CORPUS, QUERIES, QRELS)

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._documents, self._queries = _Ids("doc_id"), _Ids("query_id")
        self._headed = False

    def check(self, row: Row) -> str | None:
        """Check ids, which must not contain blanks and have one text each, and the label if any."""
        check_ids(row)
        self.positive(row)
        self._queries.check(query_id(row), row["query"])
        self._documents.check(doc_id(row), row.get("title") or "", row["document"])
        return None

    def write(self, rows: list[Row]) -> list[Row]:
        """Return the new documents, queries and judgements of the rows."""
        written: list[Row] = []
        for row in rows:
            self.leave_out(row, _CARRIED)
            query, document = query_id(row), doc_id(row)
            if self._documents.is_new(document):
                title = row.get("title") or ""
                written.append({"_id": document, "title": title, "text": row["document"]})
                self.figures["documents"] += 1
            if self._queries.is_new(query):
                written.append({"_id": query, "text": row["query"]})
                self.figures["queries"] += 1
            if self.positive(row) is None:
                self.figures["pairs without a label, not judged"] += 1
                continue
            (judgement,) = self.judgements([row])
            if not self._headed:
                written.append(dict(zip(_COLUMNS, _COLUMNS, strict=True)))
                self._headed = True
            written.append(dict(zip(_COLUMNS, judgement.values(), strict=True)))
            self.figures["judgements"] += 1
        return written

    def output_of(self, row: Row) -> str:
        """Return the output by the row's fields."""
        return QRELS if "_id" not in row else CORPUS if "title" in row else QUERIES

    def render(self, row: Row) -> bytes:
        """Return a line of JSON, or of three columns."""
        if "_id" in row:
            return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        return "\t".join(map(str, row.values())).encode() + b"\n"


def no_reader(_: ShapeSettings) -> Reader:
    """Raise UsageError: a BEIR folder is not a file of rows."""
    raise UsageError("--from beir: a BEIR folder is read by `prism collect DIR`")


class _Ids:
    """The ids of one kind: the text of each, and which were written."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._texts, self._written = SeenTexts(), SeenTexts()
        self._number = 0

    def check(self, name: str, *texts: str) -> None:
        if self._texts.conflicts(name.encode(), texts_digest(*texts)):
            raise RowError(
                self._field,
                f"{name[:60]!r} came before with another text; expected one text per id",
            )

    def is_new(self, name: str) -> bool:
        self._number += 1
        return not self._written.conflicts(name.encode(), str(self._number).encode())
