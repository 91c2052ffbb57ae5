"""The rows where teacher and panel disagree most, of any number, a bounded number held."""

from collections.abc import Iterator
from typing import Any

from prism_cli.rows.row import Row, doc_id, query_id

_Kept = tuple[float, str, str, int, Row]


class TopDisagreements:
    """Keeps the `size` rows of the largest disagreement; ties by query_id, doc_id, first come."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[_Kept] = []
        self._worst_out = 0.0
        self._seen = 0

    def add(self, row: Row, disagreement: float) -> None:
        """Offer one row, with its |score - verdict| in [0, 1]."""
        self._seen += 1
        if not self._size or disagreement < self._worst_out:
            return
        self._kept.append((-disagreement, query_id(row), doc_id(row), self._seen, row))
        if len(self._kept) >= 2 * self._size + 100:
            self._cut()

    def rows(self) -> Iterator[tuple[float, Row]]:
        """(disagreement, row), the largest first."""
        self._cut()
        for negative, _, _, _, row in self._kept:
            yield -negative, row

    def _cut(self) -> None:
        self._kept.sort(key=_without_row)
        del self._kept[self._size :]
        if len(self._kept) == self._size:
            self._worst_out = -self._kept[-1][0]


def _without_row(one: _Kept) -> tuple[Any, ...]:
    return one[:4]
