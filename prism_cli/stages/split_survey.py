"""Survey of the split stage: all texts, their groups of near-duplicates, and the queries of dev."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import orjson

from prism_cli.domain.contradictions import pair_answer
from prism_cli.domain.near_duplicates import document_shingles, normalised, query_shingles
from prism_cli.domain.split_plan import Plan, Planner
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import MissingDataError
from prism_cli.rows.row import Row, document_text, original_query, text_key
from prism_cli.shards.text_tables import TextTable, packed
from prism_cli.stages.split_texts import Excluded, SplitTexts
from prism_cli.wording import counted


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
        """Return keys and signatures of the texts, without documents that do not matter, and for
        each row the numbers of its texts, its source and its label.

        A document takes 276 bytes, a query as many and its normalised text. With test sets, a
        document with a title counts twice: without it, too.
        """
        queries = TextTable(query_shingles, exact=True)
        documents = TextTable(document_shingles, exact=False)
        sources: dict[str, int] = {}
        columns = {name: array("i") for name in ("query", "document", "body", "source", "id_query")}
        positives, ids = bytearray(), bytearray()
        last = ("", -1)
        for *_, row in rows:
            positive, query = is_positive(row), queries.number(original_query(row))
            matters = positive or self.exclude
            positives.append(positive)
            columns["query"].append(query)
            text, body = document_text(row), row["document"]
            columns["document"].append(documents.number(text) if matters else -1)
            bare = self.exclude and body != text
            columns["body"].append(documents.number(body) if bare else -1)
            columns["source"].append(sources.setdefault(row.get("source") or "", len(sources)))
            query_id = row.get("query_id")
            if query_id and (query_id, query) != last:
                last = (query_id, query)
                ids += text_key(query_id)
                columns["id_query"].append(query)
        return packed(
            {name: np.array(column, dtype=np.int32) for name, column in columns.items()}
            | {f"query_{name}": array for name, array in queries.arrays().items()}
            | {f"document_{name}": array for name, array in documents.arrays().items()}
            | {"positive": np.array(positives, dtype=bool)}
            | {"ids": np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16)}
            | {"sources": np.frombuffer(orjson.dumps(list(sources)), dtype=np.uint8)}
        )

    def merge(self, parts: Sequence[bytes]) -> bytes:
        """Return `Sides`: number all texts, find near-duplicates, choose dev.

        Raises:
            MissingDataError: train or dev would be empty, though there are rows.
        """
        texts = SplitTexts(self.exclude, parts)
        out, alive, pairs = texts.rows_kept()
        planner = Planner(
            np.array(texts.sources),
            alive,
            pairs,
            texts.query_groups,
            texts.document_groups,
            texts.queries.hashes,
            self.dev_queries,
            self.dev_share,
            self.seed,
        )
        plan = planner.plan()
        sources = [
            SourceQueries(name, plan.queries[number], plan.chosen[number], plan.wanted.get(number))
            for number, name in enumerate(texts.names)
        ]
        if texts.rows:
            self._refuse_empty(sources, plan, texts.rows, out)
        return Sides(sources, *texts.keys_by_side(plan)).as_bytes()

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
