"""Sums and counts of measures by query: what means and their intervals are made of."""

from array import array
from collections import Counter
from hashlib import blake2b

from prism_cli.domain.significance import ratio_interval


class QuerySums:
    """Add rows in any order. Held: for each measure two numbers a query."""

    def __init__(self) -> None:
        self._queries: dict[bytes, int] = {}
        self._sums: dict[str, tuple[array[float], array[float]]] = {}
        self.rows: Counter[str] = Counter()
        """Rows behind each measure."""

    def place(self, query_id: str) -> int:
        """The query's number, from 0."""
        key = blake2b(query_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return self._queries.setdefault(key, len(self._queries))

    @property
    def queries(self) -> int:
        """How many were seen."""
        return len(self._queries)

    def add(self, place: int, measure: str, total: float, count: float) -> None:
        """One row's share in a measure."""
        held = self._sums.get(measure)
        if held is None:
            held = self._sums[measure] = (array("d"), array("d"))
        sums, counts = held
        if place >= len(sums):
            more = bytes(8 * (place + 1 - len(sums)))
            sums.frombytes(more)
            counts.frombytes(more)
        sums[place] += total
        counts[place] += count
        self.rows[measure] += 1

    def means(self) -> dict[str, float]:
        """Σ sums / Σ counts of each measure that has a row, by name."""
        return {
            name: sum(sums) / sum(counts)
            for name, (sums, counts) in sorted(self._sums.items())
            if any(counts)
        }

    def interval(self, measure: str, seed: int, *, share: bool = True) -> list[float]:
        """Of the mean, the queries being the sample; `share`: of values in [0, 1]."""
        return list(ratio_interval(*self._sums[measure], seed=seed, share=share))
