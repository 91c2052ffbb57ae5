"""Sums and counts of measures by query, for means and their intervals."""

from array import array
from collections import Counter
from hashlib import blake2b

from prism_cli.domain.significance import ratio_interval


class QuerySums:
    """Adds up rows, in any order. Memory: two numbers per query and measure."""

    def __init__(self) -> None:
        self._queries: dict[bytes, int] = {}
        self._sums: dict[str, tuple[array[float], array[float]]] = {}
        self.rows: Counter[str] = Counter()
        """Rows behind each measure."""

    def index(self, query_id: str) -> int:
        """Return the query's number, from 0."""
        key = blake2b(query_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return self._queries.setdefault(key, len(self._queries))

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self._queries)

    def add(self, index: int, measure: str, total: float, count: float) -> None:
        """Add one row to a measure."""
        if measure not in self._sums:
            self._sums[measure] = (array("d"), array("d"))
        sums, counts = self._sums[measure]
        if index >= len(sums):
            zeros = bytes(8 * (index + 1 - len(sums)))
            sums.frombytes(zeros)
            counts.frombytes(zeros)
        sums[index] += total
        counts[index] += count
        self.rows[measure] += 1

    def means(self) -> dict[str, float]:
        """Return Σ sums / Σ counts of each measure that has a row, by name."""
        return {
            name: sum(sums) / sum(counts)
            for name, (sums, counts) in sorted(self._sums.items())
            if any(counts)
        }

    def interval(self, measure: str, seed: int, *, share: bool = True) -> list[float] | None:
        """Return the interval of the mean, with queries as the sample; None where it has none.

        Args:
            share: True if values are in [0, 1].
        """
        found = ratio_interval(*self._sums[measure], seed=seed, share=share)
        return found and list(found)
