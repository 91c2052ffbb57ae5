"""Survey of the split stage: all texts, their groups of near-duplicates, and the queries of dev."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import orjson

from prism_cli.domain.contradictions import pair_answer
from prism_cli.domain.near_duplicates import document_shingles, normalised, query_shingles
from prism_cli.domain.split_plan import Links, Plan, Planner
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import MissingDataError
from prism_cli.rows.row import Row, document_text, original_query, text_key
from prism_cli.shards.key_numbers import KeyNumbers
from prism_cli.shards.text_groups import TextGroups
from prism_cli.wording import counted


class Excluded(Protocol):
    """A test set: none of its texts may be trained on."""

    @property
    def name(self) -> str:
        """The name in the summary."""

    def queries(self) -> Iterator[str]:
        """Yield its queries."""

    def documents(self) -> Iterator[str]:
        """Yield its documents, each with its title and without."""


class SourceQueries(NamedTuple):
    """Queries of one source.

    Attributes:
        queries: number of queries with rows.
        chosen, wanted: number of those in dev, and for dev; `wanted` is None without queries.
    """

    name: str
    queries: int
    chosen: int
    wanted: int | None


@dataclass(frozen=True)
class Sides:
    """Result of the survey; texts are hexadecimal keys of `side_key`.

    Attributes:
        dev: queries of dev; all others are of train.
        held: documents that must not be positive in train.
        eval_queries, eval_documents: texts that stand in an evaluation set.
    """

    sources: list[SourceQueries]
    dev: frozenset[str]
    held: frozenset[str]
    eval_queries: frozenset[str]
    eval_documents: frozenset[str]

    def as_bytes(self) -> bytes:
        """Return the sides for `from_bytes`."""
        sets = (self.dev, self.held, self.eval_queries, self.eval_documents)
        return orjson.dumps([[tuple(source) for source in self.sources], *map(sorted, sets)])

    @classmethod
    def from_bytes(cls, result: bytes) -> Self:
        """Return the sides of `as_bytes`."""
        sources, *sets = orjson.loads(result)
        return cls([SourceQueries(*source) for source in sources], *map(frozenset, sets))


@dataclass(frozen=True)
class SplitSurvey:
    """Queries, documents and labels of all rows; arguments as for `SplitStage`."""

    dev_queries: int
    dev_share: float
    number_given: bool
    exclude: Sequence[Excluded]
    seed: int

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        """Return query, query_id, source, label and, where it matters, document of each row."""
        entries = []
        for *_, row in rows:
            positive = is_positive(row)
            document = document_text(row) if positive or self.exclude else None
            query_id = row.get("query_id") or ""
            source = row.get("source") or ""
            entries.append((original_query(row), query_id, source, positive, document))
        return orjson.dumps(entries)

    def merge(self, parts: Sequence[bytes]) -> bytes:
        """Return `Sides`: number all texts, find near-duplicates, choose dev.

        Raises:
            MissingDataError: train or dev would be empty, though there are rows.
        """
        all_queries = TextGroups(query_shingles, exact=True)
        all_documents = TextGroups(document_shingles, exact=False)
        links = Links()
        for excluded in self.exclude:
            for text in excluded.queries():
                all_queries.number(text)
            for text in excluded.documents():
                all_documents.number(text)
        eval_queries, eval_documents = len(all_queries), len(all_documents)
        links.sources.extend([-1] * eval_queries)
        joined = _link(_entries(parts), links, all_queries, all_documents)
        groups, query_in_eval = all_queries.group(eval_queries)
        for first, second in joined:
            groups.join(first, second)
        document_groups, document_in_eval = all_documents.group(eval_documents)
        out = bytearray(
            query_in_eval[query] or (document >= 0 and document_in_eval[document])
            for query, document in zip(links.queries, links.documents, strict=True)
        )
        limits = (self.dev_queries, self.dev_share, self.seed)
        plan = Planner(links, groups, document_groups, all_queries.hashes, out, *limits).plan()
        sources = [
            SourceQueries(name, plan.queries[number], plan.chosen[number], plan.wanted.get(number))
            for number, name in enumerate(links.names)
        ]
        if links.queries:
            self._refuse_empty(sources, plan, len(links.queries), sum(out))
        dev, held, queries_out, documents_out = sets = (
            set[str](), set[str](), set[str](), set[str]()
        )  # fmt: skip
        numbered = zip(_entries(parts), links.queries, links.documents, strict=True)
        for (text, _, _, _, document), query, number in numbered:
            if query_in_eval[query]:
                queries_out.add(side_key(text))
            elif plan.dev[query]:
                dev.add(side_key(text))
            if number >= 0 and document_in_eval[number]:
                documents_out.add(side_key(document))
            elif number >= 0 and document_groups.find(number) in plan.held:
                held.add(side_key(document))
        return Sides(sources, *map(frozenset, sets)).as_bytes()

    def shortage(self, sources: Iterable[SourceQueries]) -> Iterator[str]:
        """Yield each source with fewer dev queries than requested, and why."""
        for name, queries, chosen, wanted in sources:
            if wanted is None:
                continue
            requested = self.dev_queries if self.number_given else wanted
            if chosen < requested:
                reason = (
                    f"its {counted(queries, 'query', 'queries')} and dev_share = "
                    f"{self.dev_share:g} allow no more"
                    if chosen == wanted
                    else "no other group of near-duplicate queries, or of queries with one "
                    "positive document, is small enough"
                )
                name = name or "rows without a source"
                yield f"{name}: {chosen:,} of {requested:,} ({reason})"

    def _refuse_empty(
        self, sources: Iterable[SourceQueries], plan: Plan, rows: int, out: int
    ) -> None:
        if out == rows:
            raise MissingDataError(
                f"split: nothing would be left: the query or the document of each of the {rows:,} "
                "rows stands in an evaluation set (--exclude-eval); nothing was written"
            )
        queries = plan.queries.total()
        if self.dev_queries and not plan.chosen.total():
            reason = (
                "; ".join(self.shortage(sources))
                if queries > 1 and any(plan.wanted.values())
                else f"each source needs two queries or more; there are {queries:,} in "
                f"{len(plan.queries):,}"
            )
            raise MissingDataError(
                f"split: dev would have no row: {reason}; nothing was written. Give more queries, "
                "or --dev-queries 0 for train alone"
            )


def side_key(text: str) -> str:
    """Return the key of a text in `Sides`: equal for texts with the same normal form."""
    return text_key(normalised(text)).hex()


def is_positive(row: Row) -> bool:
    """Return whether the row's document answers its query; see `pair_answer`."""
    return pair_answer(row) == "yes"


def _entries(parts: Sequence[bytes]) -> Iterator[list[Any]]:
    for part in parts:
        yield from orjson.loads(part)


def _link(
    entries: Iterable[list[Any]], links: Links, queries: TextGroups, documents: TextGroups
) -> list[tuple[int, int]]:
    """Fill `links`; return pairs of queries that share a query_id, such as several styles."""
    ids = KeyNumbers()
    numbers: dict[str, int] = {}
    joined: list[tuple[int, int]] = []
    last = ("", -1)
    for text, query_id, source, positive, document in entries:
        query = queries.number(text)
        number = numbers.setdefault(source, len(numbers))
        if number == len(links.names):
            links.names.append(source)
        if query == len(links.sources):
            links.sources.append(number)
        elif (earlier := links.sources[query]) != number and (
            earlier < 0 or source < links.names[earlier]
        ):
            links.sources[query] = number  # of several sources, the first by name
        if query_id and (query_id, query) != last:
            last = (query_id, query)
            key = text_key(query_id)
            first = ids.get(key)
            if first is None:
                ids.put(key, query)
            elif first != query:
                joined.append((first, query))
        links.queries.append(query)
        links.positive.append(positive)
        links.documents.append(-1 if document is None else documents.number(document))
    return joined
