"""Which queries become dev: whole groups, by lot, a source at a time, so that train keeps its rows.

First choice: groups of queries that share no positive document with any other. Where a source has
too few of those, groups of near-duplicate queries alone; the training pairs whose document is a
positive of such a query are then left out, as long as that costs little.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING

from prism_cli.domain.near_duplicates import Groups, mixed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]


@dataclass
class Links:
    """What the survey saw; 17 bytes a row and 8 a query.

    Attributes:
        queries, documents: numbers, one of each a row; -1 where the document was not numbered.
        positive: 1 where the row's document answers its query.
        sources: number of the source of each query; -1 where a query has no row.
        names: the sources.
    """

    queries: "array[int]" = field(default_factory=lambda: array("q"))
    documents: "array[int]" = field(default_factory=lambda: array("q"))
    positive: bytearray = field(default_factory=bytearray)
    sources: "array[int]" = field(default_factory=lambda: array("q"))
    names: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """Where each query goes.

    Attributes:
        dev: 1 for a query of dev, by number.
        held: document groups that must not be positive in train.
        queries: queries of each source that have rows left.
        wanted, chosen: of them for dev.
    """

    dev: bytearray
    held: set[int]
    queries: Counter[int]
    wanted: dict[int, int]
    chosen: Counter[int]


@dataclass
class Planner:
    """Args of one plan.

    Attributes:
        query_groups, document_groups: near-duplicates.
        lots: 8 bytes of hash for each query.
        out: rows that are left out anyhow, 1 each.
        share: largest share of a source's queries, and of all positive pairs lost by the second
            choice, 0 to 1.
    """

    links: Links
    query_groups: Groups
    document_groups: Groups
    lots: "array[int]"
    out: bytearray
    dev_queries: int
    share: float
    seed: int

    def plan(self) -> Plan:
        """The plan; depends on the set of rows, not on their order."""
        import numpy as np

        links = self.links
        size = len(links.sources)
        row_queries = np.frombuffer(links.queries, dtype=np.int64)
        kept = np.frombuffer(self.out, dtype=np.uint8) == 0
        alive = np.zeros(size, dtype=bool)
        alive[row_queries[kept]] = True
        sources = np.frombuffer(links.sources, dtype=np.int64)
        counts = Counter(dict(enumerate(np.bincount(sources[alive], minlength=0).tolist())))
        wanted = {source: self._wanted(count) for source, count in counts.items()}
        plan = Plan(bytearray(size), set(), counts, wanted, Counter())
        positive = kept & (np.frombuffer(links.positive, dtype=np.uint8) > 0)
        documents = np.frombuffer(links.documents, dtype=np.int64)[positive]
        pairs = _Pairs.of(row_queries[positive], self.document_groups.roots()[documents])
        self._whole(plan, alive, pairs)
        self._loose(plan, alive, pairs)
        return plan

    def _wanted(self, queries: int) -> int:
        if queries < 2 or not self.dev_queries:
            return 0
        return min(self.dev_queries, max(1, int(queries * self.share)))

    def _whole(self, plan: Plan, alive: "NDArray[np.bool_]", pairs: "_Pairs") -> None:
        together = self.query_groups.copy()
        first: dict[int, int] = {}
        for query, document in zip(pairs.queries.tolist(), pairs.documents.tolist(), strict=True):
            together.join(first.setdefault(document, query), query)
        for members in self._by_lot(plan, together.roots(), alive):
            self._take(plan, members)

    def _loose(self, plan: Plan, alive: "NDArray[np.bool_]", pairs: "_Pairs") -> None:
        import numpy as np

        if not any(plan.chosen[source] < wanted for source, wanted in plan.wanted.items()):
            return
        left = alive & (np.frombuffer(bytes(plan.dev), dtype=np.uint8) == 0)
        degrees = np.bincount(pairs.documents) if len(pairs.documents) else np.zeros(1, dtype=int)
        budget = int(len(pairs.queries) * self.share)
        for members in self._by_lot(plan, self.query_groups.roots(), left):
            own = Counter(document for query in members for document in pairs.of_query(query))
            cost = sum(int(degrees[document]) - count for document, count in own.items())
            if cost <= budget and self._take(plan, members):
                budget -= cost
                plan.held.update(own)

    def _take(self, plan: Plan, members: list[int]) -> bool:
        """Put a group into dev where every source of its queries has room for it."""
        by_source = Counter(self.links.sources[query] for query in members)
        for source, count in by_source.items():
            if plan.chosen[source] + count > plan.wanted[source]:
                return False
        plan.chosen.update(by_source)
        for query in members:
            plan.dev[query] = 1
        return True

    def _by_lot(
        self, plan: Plan, roots: "Numbers", which: "NDArray[np.bool_]"
    ) -> Iterator[list[int]]:
        """Groups of the queries in `which`, in the order of their lots, while there is room."""
        import numpy as np

        lots = np.frombuffer(self.lots, dtype=np.uint64)
        lowest = np.full(len(roots), np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(lowest, roots, lots)
        drawn = int.from_bytes(blake2b(f"{self.seed}\0dev".encode(), digest_size=8).digest())
        lowest = mixed(lowest ^ np.uint64(drawn))
        chosen = np.flatnonzero(which)
        order = chosen[np.lexsort((roots[chosen], lowest[roots[chosen]]))]
        for _, group in groupby(order.tolist(), key=roots.__getitem__):
            if all(plan.chosen[source] >= wanted for source, wanted in plan.wanted.items()):
                return
            yield list(group)


@dataclass
class _Pairs:
    """Positive pairs, by query."""

    queries: "Numbers"
    documents: "Numbers"

    @classmethod
    def of(cls, queries: "Numbers", documents: "Numbers") -> "_Pairs":
        import numpy as np

        order = np.argsort(queries, kind="stable")
        return cls(queries[order], documents[order])

    def of_query(self, query: int) -> list[int]:
        """The positive documents of a query."""
        import numpy as np

        first, end = np.searchsorted(self.queries, [query, query + 1])
        found: list[int] = self.documents[first:end].tolist()
        return found
