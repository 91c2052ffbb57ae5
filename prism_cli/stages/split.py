"""Split of rows into train and dev, without leakage.

All rows of one original query, of its near-duplicates, and of queries that share a positive
document (or near-duplicates of one) are on one side. A document that is positive in dev is never
positive in train; it may be a negative there. Rows with texts of a test set are on neither side.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

from prism_cli.domain.contradictions import pair_answer
from prism_cli.domain.near_duplicates import Groups, document_shingles, query_shingles
from prism_cli.domain.split_plan import Links, Plan, Planner
from prism_cli.engine.stage import RowStage
from prism_cli.errors import MissingDataError
from prism_cli.ports import Outcome, Routed
from prism_cli.rows.row import (
    Dropped,
    Row,
    check_pair,
    document_text,
    number_field,
    original_query,
    string_field,
    text_key,
)
from prism_cli.shards.key_numbers import KeyNumbers
from prism_cli.shards.text_groups import TextGroups
from prism_cli.wording import counted

QUERY_IN_EVAL = "query stands in an evaluation set"
DOCUMENT_IN_EVAL = "document stands in an evaluation set"
POSITIVE_IN_DEV = "document is positive in dev"


class Excluded(Protocol):
    """A test set: none of its texts may be trained on."""

    @property
    def name(self) -> str:
        """The name in the summary."""

    def queries(self) -> Iterator[str]:
        """Yield its queries."""

    def documents(self) -> Iterator[str]:
        """Yield its documents, each with its title and without."""


class SplitStage(RowStage):
    """Routes rows to train and dev.

    Args:
        dev_queries: most dev queries of each source.
        dev_share: largest share of the source's queries for dev, 0 to 1, but at least one query.
        number_given: True if the user set `dev_queries`: the summary explains a smaller number.
        exclude: test sets.
    """

    name = "split"
    outputs = ("train", "dev")
    needs_first_pass = True

    def __init__(
        self,
        *,
        dev_queries: int = 250,
        dev_share: float = 0.1,
        number_given: bool = False,
        exclude: Sequence[Excluded] = (),
        seed: int = 0,
    ) -> None:
        self._number_given = number_given
        self._dev_queries = dev_queries
        self._dev_share = dev_share
        self._exclude = exclude
        self._seed = seed
        self._queries = TextGroups(query_shingles, exact=True)
        self._documents = TextGroups(document_shingles, exact=False)
        self._links = Links()
        self._plan: Plan | None = None
        self._document_groups = Groups(0)
        self._query_in_eval = bytearray()
        self._document_in_eval = bytearray()
        self._figures: Counter[str] = Counter()
        self._rows: Counter[tuple[str, str]] = Counter()

    def check(self, row: Row) -> None:
        """Check the pair row."""
        check_pair(row)
        number_field(row, "teacher_score", 0, 1)
        string_field(row, "source", required=False)

    def first_pass(self, rows: Iterator[Row]) -> None:
        """Number all texts, find near-duplicates, choose dev.

        Raises:
            MissingDataError: train or dev would be empty, though there are rows.
        """
        for excluded in self._exclude:
            for text in excluded.queries():
                self._queries.number(text)
            for text in excluded.documents():
                self._documents.number(text)
        eval_queries, eval_documents = len(self._queries), len(self._documents)
        self._links.sources.extend([-1] * eval_queries)
        joined = self._first_pass_rows(rows)
        groups, self._query_in_eval = self._queries.group(eval_queries)
        for first, second in joined:
            groups.join(first, second)
        self._document_groups, self._document_in_eval = self._documents.group(eval_documents)
        links = self._links
        out = bytearray(
            self._query_in_eval[query] or (document >= 0 and self._document_in_eval[document])
            for query, document in zip(links.queries, links.documents, strict=True)
        )
        planner = Planner(
            links,
            groups,
            self._document_groups,
            self._queries.hashes,
            out,
            self._dev_queries,
            self._dev_share,
            self._seed,
        )
        self._plan = planner.plan()
        if links.queries:
            self._refuse_empty(self._plan, len(links.queries), sum(out))
        self._links = Links(names=links.names, sources=links.sources)

    def work(self, row: Row) -> Outcome:
        """Route the row to its side, or drop it with the reason."""
        plan = self._plan
        if plan is None:
            raise TypeError("split works after its first pass")
        query = self._queries.find(original_query(row))
        if query is None:
            raise LookupError("a row that the first pass did not see")
        positive = is_positive(row)
        document = None
        if self._exclude or (positive and plan.held):
            document = self._documents.find(document_text(row))
        if self._query_in_eval[query]:
            return Dropped(QUERY_IN_EVAL)
        if self._exclude and document is not None and self._document_in_eval[document]:
            return Dropped(DOCUMENT_IN_EVAL)
        side = "dev" if plan.dev[query] else "train"
        if (
            side == "train"
            and positive
            and document is not None
            and self._document_groups.find(document) in plan.held
        ):
            return Dropped(POSITIVE_IN_DEV)
        self._rows[row.get("source") or "", side] += 1
        return Routed(((side, row),))

    def summary(self) -> dict[str, object]:
        """Return the split of each source, and the reasons for missing dev queries."""
        plan = self._plan
        if plan is None:
            return {}
        names = self._links.names
        table = [
            {
                "source": name or "-",
                "queries": plan.queries[number],
                "dev queries": plan.chosen[number],
                "train rows": self._rows[name, "train"],
                "dev rows": self._rows[name, "dev"],
            }
            for number, name in sorted(enumerate(names), key=lambda item: item[1])
        ]
        figures: dict[str, object] = dict(self._figures)
        if self._exclude:
            figures["kept clear of"] = ", ".join(excluded.name for excluded in self._exclude)
        if reasons := "; ".join(self._shortage(plan)):
            figures["dev queries short"] = reasons
        return {**figures, "sources": table}

    def _shortage(self, plan: Plan) -> Iterator[str]:
        """Yield each source with fewer dev queries than requested, and why."""
        for number, wanted in sorted(plan.wanted.items()):
            chosen = plan.chosen[number]
            requested = self._dev_queries if self._number_given else wanted
            if chosen < requested:
                reason = (
                    f"its {counted(plan.queries[number], 'query', 'queries')} and dev_share = "
                    f"{self._dev_share:g} allow no more"
                    if chosen == wanted
                    else "no other group of near-duplicate queries, or of queries with one "
                    "positive document, is small enough"
                )
                name = self._links.names[number] or "rows without a source"
                yield f"{name}: {chosen:,} of {requested:,} ({reason})"

    def _refuse_empty(self, plan: Plan, rows: int, out: int) -> None:
        if out == rows:
            raise MissingDataError(
                f"split: nothing would be left: the query or the document of each of the {rows:,} "
                "rows stands in an evaluation set (--exclude-eval); nothing was written"
            )
        queries = plan.queries.total()
        if self._dev_queries and not plan.chosen.total():
            reason = (
                "; ".join(self._shortage(plan))
                if queries > 1 and any(plan.wanted.values())
                else f"each source needs two queries or more; there are {queries:,} in "
                f"{len(plan.queries):,}"
            )
            raise MissingDataError(
                f"split: dev would have no row: {reason}; nothing was written. Give more queries, "
                "or --dev-queries 0 for train alone"
            )

    def _first_pass_rows(self, rows: Iterator[Row]) -> list[tuple[int, int]]:
        """Fill `_links`; return pairs of queries that share a query_id, such as several styles."""
        links, ids = self._links, KeyNumbers()
        numbers: dict[str, int] = {}
        joined: list[tuple[int, int]] = []
        last = ("", -1)
        for row in rows:
            query = self._queries.number(original_query(row))
            source = row.get("source") or ""
            number = numbers.setdefault(source, len(numbers))
            if number == len(links.names):
                links.names.append(source)
            if query == len(links.sources):
                links.sources.append(number)
            elif (earlier := links.sources[query]) != number and (
                earlier < 0 or source < links.names[earlier]
            ):
                links.sources[query] = number  # of several sources, the first by name
            query_id = row.get("query_id")
            if query_id and (query_id, query) != last:
                last = (query_id, query)
                key = text_key(query_id)
                first = ids.get(key)
                if first is None:
                    ids.put(key, query)
                elif first != query:
                    joined.append((first, query))
            positive = is_positive(row)
            links.queries.append(query)
            links.positive.append(positive)
            links.documents.append(
                self._documents.number(document_text(row)) if positive or self._exclude else -1
            )
        return joined


def is_positive(row: Row) -> bool:
    """Return whether the row's document answers its query; see `pair_answer`."""
    return pair_answer(row) == "yes"
