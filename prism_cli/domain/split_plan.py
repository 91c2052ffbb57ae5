"""Choice of the dev queries: whole groups, at random, one source at a time, so that train keeps its
rows.

First choice: groups of queries that share no positive document with any other. Where a source has
too few of those, groups of near-duplicate queries alone; training pairs whose document is a
positive of such a query are then dropped, as long as they are few.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from prism_cli.domain.near_duplicates import Groups, mixed
from prism_cli.domain.seeded_sample import seeded_hash

Numbers = NDArray[np.int64]


@dataclass
class Plan:
    """The assignment of queries to dev and train.

    Attributes:
        dev: 1 for a query of dev, by query number.
        held: document groups that must not be positive in train.
        queries: number of queries with rows, by source.
        wanted, chosen: number of queries for dev, by source.
    """

    dev: bytearray
    held: set[int]
    queries: Counter[int]
    wanted: dict[int, int]
    chosen: Counter[int]


@dataclass
class Planner:
    """The inputs of one plan.

    Attributes:
        sources: number of the source of each query; -1 for a query without a row.
        alive: whether a query has a row that is not dropped anyway.
        pairs: query and document of each positive row that is not dropped anyway.
        query_groups, document_groups: groups of near-duplicates.
        hashes: an 8-byte hash per query.
        share: largest share of a source's queries, and of all positive pairs lost by the second
            choice, 0 to 1.
    """

    sources: Numbers
    alive: NDArray[np.bool_]
    pairs: tuple[Numbers, Numbers]
    query_groups: Groups
    document_groups: Groups
    hashes: "array[int]"
    dev_queries: int
    share: float
    seed: int

    def plan(self) -> Plan:
        """Return the plan; it depends on the set of rows, not on their order."""
        counts = Counter(dict(enumerate(np.bincount(self.sources[self.alive]).tolist())))
        wanted = {source: self._wanted(count) for source, count in counts.items()}
        plan = Plan(bytearray(len(self.sources)), set(), counts, wanted, Counter())
        queries, documents = self.pairs
        pairs = _Pairs.of(queries, self.document_groups.roots()[documents])
        self._take_isolated(plan, pairs)
        self._take_connected(plan, pairs)
        return plan

    def _wanted(self, queries: int) -> int:
        if queries < 2 or not self.dev_queries:
            return 0
        return min(self.dev_queries, max(1, int(queries * self.share)))

    def _take_isolated(self, plan: Plan, pairs: "_Pairs") -> None:
        together = self.query_groups.copy()
        order = np.argsort(pairs.documents, kind="stable")
        queries, documents = pairs.queries[order], pairs.documents[order]
        for place in np.flatnonzero(documents[1:] == documents[:-1]).tolist():
            together.join(int(queries[place]), int(queries[place + 1]))
        for members in self._at_random(plan, together.roots(), self.alive):
            self._take(plan, members)

    def _take_connected(self, plan: Plan, pairs: "_Pairs") -> None:
        if not any(plan.chosen[source] < wanted for source, wanted in plan.wanted.items()):
            return
        remaining = self.alive & (np.frombuffer(bytes(plan.dev), dtype=np.uint8) == 0)
        degrees = np.bincount(pairs.documents) if len(pairs.documents) else np.zeros(1, dtype=int)
        budget = int(len(pairs.queries) * self.share)
        for members in self._at_random(plan, self.query_groups.roots(), remaining):
            own = Counter(document for query in members for document in pairs.of_query(query))
            cost = sum(int(degrees[document]) - count for document, count in own.items())
            if cost <= budget and self._take(plan, members):
                budget -= cost
                plan.held.update(own)

    def _take(self, plan: Plan, members: list[int]) -> bool:
        """Put a group into dev if every source of its queries has room for it."""
        by_source = Counter(self.sources[members].tolist())
        for source, count in by_source.items():
            if plan.chosen[source] + count > plan.wanted[source]:
                return False
        plan.chosen.update(by_source)
        for query in members:
            plan.dev[query] = 1
        return True

    def _at_random(
        self, plan: Plan, roots: Numbers, which: NDArray[np.bool_]
    ) -> Iterator[list[int]]:
        """Yield groups of queries in `which`, in order of their hashes, while there is room."""
        hashes = np.frombuffer(self.hashes, dtype=np.uint64)
        lowest = np.full(len(roots), np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(lowest, roots, hashes)
        lowest = mixed(lowest ^ np.uint64(seeded_hash(self.seed, "dev")))
        chosen = np.flatnonzero(which)
        order = chosen[np.lexsort((roots[chosen], lowest[roots[chosen]]))]
        for _, group in groupby(map(int, order), key=roots.__getitem__):
            if all(plan.chosen[source] >= wanted for source, wanted in plan.wanted.items()):
                return
            yield list(group)


@dataclass
class _Pairs:
    """Positive pairs, sorted by query."""

    queries: Numbers
    documents: Numbers

    @classmethod
    def of(cls, queries: Numbers, documents: Numbers) -> "_Pairs":
        order = np.argsort(queries, kind="stable")
        return cls(queries[order], documents[order])

    def of_query(self, query: int) -> list[int]:
        """Return the positive documents of a query."""
        first, end = np.searchsorted(self.queries, [query, query + 1])
        documents: list[int] = self.documents[first:end].tolist()
        return documents
