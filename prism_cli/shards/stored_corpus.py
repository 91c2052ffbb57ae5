"""Documents of a corpus on disk, found by id and by number."""

from collections.abc import Iterable, Iterator

from prism_cli.shards.spill import Spill


class StoredCorpus:
    """Documents as (doc_id, title, text), numbered from 0 in their order.

    Args:
        documents: all documents; no id occurs twice.
    """

    def __init__(self, documents: Iterable[tuple[str, str, str]]) -> None:
        self._spill = Spill("number INTEGER PRIMARY KEY, doc_id TEXT UNIQUE, title TEXT, text TEXT")
        numbered = ((number, *document) for number, document in enumerate(documents))
        self._spill.fill("INSERT INTO spill VALUES (?, ?, ?, ?)", numbered)

    def __len__(self) -> int:
        """Return the number of documents."""
        count: int = next(self._spill.rows("SELECT count(*) FROM spill"))[0]
        return count

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        """Yield the documents in order."""
        query = "SELECT doc_id, title, text FROM spill ORDER BY number"
        yield from ((name, title, text) for name, title, text in self._spill.rows(query))

    def doc_id(self, number: int) -> str:
        """Return the id of a document."""
        query = "SELECT doc_id FROM spill WHERE number = ?"
        name: str = next(self._spill.rows(query, (number,)))[0]
        return name

    def find(self, doc_id: str) -> tuple[str, str] | None:
        """Return title and text of a document; None where the corpus does not have it."""
        query = "SELECT title, text FROM spill WHERE doc_id = ?"
        return next(((title, text) for title, text in self._spill.rows(query, (doc_id,))), None)
