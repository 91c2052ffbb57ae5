"""One query_id, one query, over all rows of a pass; one doc_id, one text, among adjacent rows."""

from hashlib import blake2b

from prism_cli.errors import RowError
from prism_cli.rows.row import OneText, Row
from prism_cli.shards.spill import SeenTexts


class ConsistentIds:
    """Remembers the query of each query_id; a rewritten query is another one than the original."""

    def __init__(self) -> None:
        self._seen = SeenTexts()
        self._last: object = None
        self._asked: object = None
        self._documents = OneText()

    def check(self, row: Row) -> None:
        """Note the row's query and document.

        Raises:
            RowError: the id of one of them stood with another text before.
        """
        query_id, query = row.get("query_id"), row.get("query")
        known = (query_id, query, row.get("query_style"))
        if known != self._last:  # the documents of a query mostly stand together
            self._check_query(row)
            asked = query_id or query
            if asked != self._asked:
                self._asked, self._documents = asked, OneText()
            self._last = known
        doc_id, document = row.get("doc_id"), row.get("document")
        if doc_id and isinstance(doc_id, str) and isinstance(document, str):
            title = row.get("title")
            self._documents.check(doc_id, f"{title} {document}" if title else document)

    def _check_query(self, row: Row) -> None:
        query, style = row.get("query"), row.get("query_style") or "original"
        if row.get("query_id") is None or not isinstance(query, str):
            return
        query_id = str(row["query_id"])
        key = blake2b(f"{query_id}\0{style}".encode(), digest_size=16).digest()
        if self._seen.conflicts(key, blake2b(query.encode(), digest_size=16).digest()):
            raise RowError(
                "query_id",
                f"{query_id!r} ({style}) stood with another query before; one id, one query",
            )
