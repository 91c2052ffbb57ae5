"""Texts and rows of all parts of the split's survey, with groups of near-duplicates."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from prism_cli.domain.near_duplicates import Shingles, document_shingles, query_shingles
from prism_cli.domain.split_plan import Numbers, Plan
from prism_cli.shards.spill import SpilledObjects
from prism_cli.shards.text_groups import TextGroups
from prism_cli.shards.text_tables import Arrays, TextTable, first_of_equal, unpacked

_TABLE_TEXTS = 4096


class Excluded(Protocol):
    """A test set: none of its texts may be trained on."""

    @property
    def name(self) -> str:
        """The name in the summary."""

    def queries(self) -> Iterator[str]:
        """Yield its queries."""

    def documents(self) -> Iterator[str]:
        """Yield its documents, each with its title and without."""


class _Part(NamedTuple):
    """Numbers of the texts of a part, and of those of each of its rows; -1 for no document, and for
    no document without its title."""

    queries: Numbers
    documents: Numbers
    row_queries: Numbers
    row_documents: Numbers
    row_bodies: Numbers
    positive: NDArray[np.bool_]


class SplitTexts:
    """All texts, the test sets' first. Memory holds 25 bytes a query and 17 a document; to choose
    dev takes about 70 a positive row.

    Args:
        parts: of `SplitSurvey`.

    Attributes:
        queries, documents: their texts.
        query_groups, document_groups: groups of near-duplicates; queries that share a query_id,
            such as several styles of one, are in one group.
        names: names of the sources.
        sources: number of the source of each query, of several the first by name; -1 for a query
            without a row.
        rows: number of rows.
    """

    def __init__(self, exclude: Sequence[Excluded], parts: Sequence[bytes]) -> None:
        self._arrays = parts
        self.queries = TextGroups(query_shingles, exact=True)
        self.documents = TextGroups(document_shingles, exact=False)
        excluded = (text for test_set in exclude for text in test_set.queries())
        tables = _tables(excluded, query_shingles, exact=True)
        queries, eval_queries = self._number("query", self.queries, tables)
        excluded = (text for test_set in exclude for text in test_set.documents())
        tables = _tables(excluded, document_shingles, exact=False)
        documents, eval_documents = self._number("document", self.documents, tables)
        self.names: list[str] = []
        self.sources = array("q", [-1]) * len(self.queries)
        self.rows = 0
        self._source_numbers: dict[str, int] = {}
        self._parts = SpilledObjects[_Part]()
        joined = self._add_parts(queries, documents)
        del queries, documents
        self.query_groups, marks = self.queries.group(eval_queries)
        self._query_out = np.frombuffer(marks, dtype=bool)
        for first, second in joined:
            self.query_groups.join(first, second)
        self.document_groups, marks = self.documents.group(eval_documents)
        self._document_out = np.frombuffer(marks + b"\0", dtype=bool)  # [-1]: no document

    def _number(
        self, kind: str, texts: TextGroups, excluded: SpilledObjects[Arrays]
    ) -> tuple[Numbers, int]:
        """Add the texts of a kind; return the numbers of those of all parts, and how many
        different ones the test sets have."""

        def tables() -> Iterator[Arrays]:
            yield from excluded
            for part in map(unpacked, self._arrays):
                names = [name for name in part if name.startswith(f"{kind}_")]
                yield {name.removeprefix(f"{kind}_"): part[name] for name in names}

        numbers = texts.add_tables(tables)
        before = sum(len(table["keys"]) for table in excluded)
        return numbers[before:], int(numbers[:before].max(initial=-1)) + 1

    def _add_parts(self, queries: Numbers, documents: Numbers) -> Iterator[tuple[int, int]]:
        """Note the rows of all parts; return pairs of queries that share a query_id."""
        ids, id_queries = SpilledObjects[NDArray[np.uint8]](), array("q")
        for part in map(unpacked, self._arrays):
            size = len(part["query_keys"])
            own_queries, queries = queries[:size], queries[size:]
            size = len(part["document_keys"])
            own_documents, documents = documents[:size], documents[size:]
            row_queries = own_queries[part["query"]]
            row_documents, row_bodies = (
                np.append(own_documents, -1)[part[name]] for name in ("document", "body")
            )
            self._parts.append(
                _Part(
                    own_queries, own_documents, row_queries, row_documents, row_bodies,
                    part["positive"],
                )
            )  # fmt: skip
            self.rows += len(row_queries)
            names = orjson.loads(part["sources"].tobytes())
            self._note_sources(names, row_queries, part["source"])
            ids.append(part["ids"])
            id_queries.frombytes(own_queries[part["id_query"]].tobytes())
        with_id = np.frombuffer(id_queries, dtype=np.int64)
        first = with_id[first_of_equal(ids)]
        other = np.flatnonzero(first != with_id)
        return zip(first[other].tolist(), with_id[other].tolist(), strict=True)

    def _note_sources(self, names: list[str], queries: Numbers, sources: Numbers) -> None:
        for name in names:
            if self._source_numbers.setdefault(name, len(self.names)) == len(self.names):
                self.names.append(name)
        for query, index in dict.fromkeys(zip(queries.tolist(), sources.tolist(), strict=True)):
            earlier = self.sources[query]
            if earlier < 0 or names[index] < self.names[earlier]:
                self.sources[query] = self._source_numbers[names[index]]

    def rows_kept(self) -> tuple[int, NDArray[np.bool_], tuple[Numbers, Numbers]]:
        """Return the number of rows with a text of a test set; whether each query has another row;
        and query and document of each positive row without such a text."""
        out_count = 0
        alive = np.zeros(len(self.queries), dtype=bool)
        pairs = array("q"), array("q")
        for part in self._parts:
            out = (
                self._query_out[part.row_queries]
                | self._document_out[part.row_documents]
                | self._document_out[part.row_bodies]
            )
            out_count += int(out.sum())
            alive[part.row_queries[~out]] = True
            kept = part.positive & ~out
            for column, numbers in zip(pairs, (part.row_queries, part.row_documents), strict=True):
                column.frombytes(numbers[kept].tobytes())
        queries, documents = (np.frombuffer(column, dtype=np.int64) for column in pairs)
        return out_count, alive, (queries, documents)

    def keys_by_side(self, plan: Plan) -> Iterator[frozenset[str]]:
        """Yield the keys of the queries of dev, of documents that must not be positive in train,
        and of queries and documents that stand in a test set."""
        dev = np.frombuffer(plan.dev, dtype=bool) & ~self._query_out
        held = np.isin(self.document_groups.roots(), sorted(plan.held)) & ~self._document_out[:-1]
        keys = set[str](), set[str](), set[str](), set[str]()
        for numbers, part in zip(self._parts, map(unpacked, self._arrays), strict=True):
            marked = (
                ("query_keys", dev[numbers.queries]),
                ("document_keys", held[numbers.documents]),
                ("query_keys", self._query_out[numbers.queries]),
                ("document_keys", self._document_out[numbers.documents]),
            )
            for side, (name, here) in zip(keys, marked, strict=True):
                side.update(key.tobytes().hex() for key in part[name][here])
        yield from map(frozenset, keys)


def _tables(texts: Iterable[str], shingles: Shingles, *, exact: bool) -> SpilledObjects[Arrays]:
    """Return tables of some texts each."""
    tables, source = SpilledObjects[Arrays](), iter(texts)
    while some := list(islice(source, _TABLE_TEXTS)):
        table = TextTable(shingles, exact=exact)
        for text in some:
            table.number(text)
        tables.append(table.arrays())
    return tables
