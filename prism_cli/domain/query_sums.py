"""Sums and counts of measures by query, for means, their intervals, and paired values."""

from array import array
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from math import isclose
from typing import Self

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
        return self._number(
            blake2b(query_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        )

    def _number(self, key: bytes) -> int:
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

    def by_query(self, measure: str) -> dict[bytes, tuple[float, float]]:
        """Return sum and count of each query that has rows, by the query's key."""
        columns = zip(self._queries, *self._sums.get(measure, ((), ())), strict=False)
        return {key: (total, count) for key, total, count in columns if count}

    @classmethod
    def averaged(cls, runs: Sequence[Self]) -> Self:
        """Return sums whose means are those over the runs, each with the same weight, of the
        measures that all of them have rows of."""
        merged = cls()
        for measure in runs[0]._sums:
            found = [run.by_query(measure) for run in runs]
            rows = [len(runs) * sum(count for _, count in one.values()) for one in found]
            if not all(rows):
                continue
            for queries, every in zip(found, rows, strict=True):
                for key, (total, count) in queries.items():
                    merged.add(merged._number(key), measure, total / every, count / every)
            merged.rows[measure] = sum(run.rows[measure] for run in runs)
        return merged

    def paired(self, other: Self, measure: str) -> tuple[list[float], list[float]]:
        """Return a value for each query of both, in one order, with means as those of `means`;
        nothing where the rows are not of the same queries, in the same shares."""
        ours, theirs = self.by_query(measure), other.by_query(measure)
        keys = sorted(ours)
        rows = [sum(count for _, count in one.values()) for one in (ours, theirs)]
        if keys != sorted(theirs) or not all(
            isclose(ours[key][1] / rows[0], theirs[key][1] / rows[1]) for key in keys
        ):
            return [], []
        first, second = (
            [one[key][0] * len(keys) / every for key in keys]
            for one, every in zip((ours, theirs), rows, strict=True)
        )
        return first, second
