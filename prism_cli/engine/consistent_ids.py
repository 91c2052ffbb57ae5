"""Check that a query_id has one query in all rows of a pass, and a doc_id one text in adjacent
rows."""

from collections.abc import Callable, Mapping
from hashlib import blake2b

from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.rows.row import OneText, Row, document_text
from prism_cli.shards.spill import SeenTexts


def row_reader(stage: RowStage, fields: Mapping[str, str]) -> Callable[[bytes], Row]:
    """Return a function that decodes and checks the lines of one pass, which it gets in order.

    It raises RowError for a row that is rejected before the stage's `work`.
    """
    ids = ConsistentIds() if stage.query_rows else None

    def read(raw: bytes) -> Row:
        row = stage.decode(raw, fields)
        stage.check(row)
        if ids is not None:
            ids.check(row)
        return row

    return read


class ConsistentIds:
    """Checks ids against earlier rows; the query of an id may differ between query styles."""

    def __init__(self) -> None:
        self._seen = SeenTexts()
        self._last: object = None
        self._group: object = None
        self._documents = OneText()

    def check(self, row: Row) -> None:
        """Check a row's query_id and doc_id.

        Raises:
            RowError: an earlier row has the id with another text.
        """
        query_id, query = row.get("query_id"), row.get("query")
        current = (query_id, query, row.get("query_style"))
        if current != self._last:  # documents of a query are mostly adjacent
            self._check_query(row)
            group = query_id or query
            if group != self._group:
                self._group, self._documents = group, OneText()
            self._last = current
        doc_id, document = row.get("doc_id"), row.get("document")
        if doc_id and isinstance(doc_id, str) and isinstance(document, str):
            self._documents.check(doc_id, document_text(row))

    def _check_query(self, row: Row) -> None:
        query, style = row.get("query"), row.get("query_style") or "original"
        if row.get("query_id") is None or not isinstance(query, str):
            return
        query_id = str(row["query_id"])
        key = blake2b(f"{query_id}\0{style}".encode(), digest_size=16).digest()
        if self._seen.conflicts(key, blake2b(query.encode(), digest_size=16).digest()):
            raise RowError(
                "query_id",
                f"{query_id!r} ({style}) has another query in an earlier row; one id, one query",
            )
