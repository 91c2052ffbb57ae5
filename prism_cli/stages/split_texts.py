"""Texts and rows of all parts of the split's survey, with groups of near-duplicates."""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from prism_cli.domain.near_duplicates import Groups, document_shingles, query_shingles
from prism_cli.domain.split_plan import Numbers, Plan
from prism_cli.shards.key_numbers import KeyNumbers
from prism_cli.shards.spill import SpilledObjects
from prism_cli.shards.text_groups import TextGroups
from prism_cli.shards.text_tables import Arrays


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
    """Numbers of the texts of a part, and of those of each of its rows; -1 for no document."""

    queries: Numbers
    documents: Numbers
    row_queries: Numbers
    row_documents: Numbers
    positive: NDArray[np.bool_]


class SplitTexts:
    """All texts, the test sets' first. Memory holds 25 bytes a query and 17 a document.

    Attributes:
        queries, documents: their texts.
        query_groups, document_groups: groups of near-duplicates; queries that share a query_id,
            such as several styles of one, are in one group. After `group`.
        names: names of the sources.
        sources: number of the source of each query, of several the first by name; -1 for a query
            without a row.
        rows: number of rows.
    """

    def __init__(self, exclude: Iterable[Excluded]) -> None:
        self.queries = TextGroups(query_shingles, exact=True)
        self.documents = TextGroups(document_shingles, exact=False)
        for excluded in exclude:
            for text in excluded.queries():
                self.queries.number(text)
            for text in excluded.documents():
                self.documents.number(text)
        self._eval_queries, self._eval_documents = len(self.queries), len(self.documents)
        self.query_groups = self.document_groups = Groups(0)
        self.names: list[str] = []
        self.sources = array("q")
        self.rows = 0
        self._source_numbers: dict[str, int] = {}
        self._ids = KeyNumbers()
        self._joined = array("q")
        self._parts = SpilledObjects[_Part]()
        self._query_out = self._document_out = np.zeros(0, dtype=bool)

    def add(self, part: Arrays) -> None:
        """Add the texts and rows of a part of `SplitSurvey`."""
        queries, documents = (
            texts.add({name: part[f"{kind}_{name}"] for name in texts.columns})
            for kind, texts in (("query", self.queries), ("document", self.documents))
        )
        with_none = np.append(documents, -1)
        row_queries = queries[part["query"]]
        rows = _Part(queries, documents, row_queries, with_none[part["document"]], part["positive"])
        self._parts.append(rows)
        self.rows += len(row_queries)
        self._note_sources(orjson.loads(part["sources"].tobytes()), row_queries, part["source"])
        for key, query in zip(part["ids"], queries[part["id_query"]].tolist(), strict=True):
            first = self._ids.get(key.tobytes())
            if first is None:
                self._ids.put(key.tobytes(), query)
            elif first != query:
                self._joined.extend((first, query))

    def _note_sources(self, names: list[str], queries: Numbers, sources: Numbers) -> None:
        for name in names:
            if self._source_numbers.setdefault(name, len(self.names)) == len(self.names):
                self.names.append(name)
        self.sources.extend([-1] * (len(self.queries) - len(self.sources)))
        for query, index in dict.fromkeys(zip(queries.tolist(), sources.tolist(), strict=True)):
            earlier = self.sources[query]
            if earlier < 0 or names[index] < self.names[earlier]:
                self.sources[query] = self._source_numbers[names[index]]

    def group(self) -> None:
        """Find the near-duplicates; no part can be added afterwards."""
        self.query_groups, marks = self.queries.group(self._eval_queries)
        self._query_out = np.frombuffer(marks, dtype=bool)
        for place in range(0, len(self._joined), 2):
            self.query_groups.join(*self._joined[place : place + 2])
        self.document_groups, marks = self.documents.group(self._eval_documents)
        self._document_out = np.frombuffer(marks + b"\0", dtype=bool)  # [-1]: no document

    def rows_kept(self) -> tuple[int, NDArray[np.bool_], tuple[Numbers, Numbers]]:
        """Return the number of rows with a text of a test set; whether each query has another row;
        and query and document of each positive row without such a text."""
        out_count = 0
        alive = np.zeros(len(self.queries), dtype=bool)
        pairs = array("q"), array("q")
        for part in self._parts:
            out = self._query_out[part.row_queries] | self._document_out[part.row_documents]
            out_count += int(out.sum())
            alive[part.row_queries[~out]] = True
            kept = part.positive & ~out
            for column, numbers in zip(pairs, (part.row_queries, part.row_documents), strict=True):
                column.frombytes(numbers[kept].tobytes())
        queries, documents = (np.frombuffer(column, dtype=np.int64) for column in pairs)
        return out_count, alive, (queries, documents)

    def keys_by_side(self, plan: Plan, parts: Iterable[Arrays]) -> Iterator[frozenset[str]]:
        """Yield the keys of the queries of dev, of documents that must not be positive in train,
        and of queries and documents that stand in a test set.

        Args:
            parts: those that were added.
        """
        dev = np.frombuffer(plan.dev, dtype=bool) & ~self._query_out
        held = np.isin(self.document_groups.roots(), sorted(plan.held)) & ~self._document_out[:-1]
        keys = set[str](), set[str](), set[str](), set[str]()
        for numbers, part in zip(self._parts, parts, strict=True):
            marked = (
                ("query_keys", dev[numbers.queries]),
                ("document_keys", held[numbers.documents]),
                ("query_keys", self._query_out[numbers.queries]),
                ("document_keys", self._document_out[numbers.documents]),
            )
            for side, (name, here) in zip(keys, marked, strict=True):
                side.update(key.tobytes().hex() for key in part[name][here])
        yield from map(frozenset, keys)
