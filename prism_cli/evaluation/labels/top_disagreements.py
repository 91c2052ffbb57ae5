"""The rows with the largest disagreement of teacher and panel, in bounded memory."""

from collections.abc import Iterator
from typing import Any

from prism_cli.rows.row import Row, doc_id, query_id

_Entry = tuple[float, str, str, int, Row]


class TopDisagreements:
    """Keeps the `size` rows with the largest disagreement; ties by query_id, doc_id, first seen."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: list[_Entry] = []
        self._threshold = 0.0
        self._seen = 0

    def add(self, row: Row, disagreement: float) -> None:
        """Offer one row, with its |score - verdict| in [0, 1]."""
        self._seen += 1
        if not self._size or disagreement < self._threshold:
            return
        self._entries.append((-disagreement, query_id(row), doc_id(row), self._seen, row))
        if len(self._entries) >= 2 * self._size + 100:
            self._trim()

    def rows(self) -> Iterator[tuple[float, Row]]:
        """Yield (disagreement, row), largest first."""
        self._trim()
        for negative, _, _, _, row in self._entries:
            yield -negative, row

    def _trim(self) -> None:
        self._entries.sort(key=_without_row)
        del self._entries[self._size :]
        if len(self._entries) == self._size:
            self._threshold = -self._entries[-1][0]


def _without_row(entry: _Entry) -> tuple[Any, ...]:
    return entry[:4]
