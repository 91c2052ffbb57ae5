"""Mining of hard negatives: queries of a judged corpus as {query, pos, neg} rows."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import orjson

from prism_cli.domain.unknown_ids import LEFT_OUT, check_listed_ids, unknown_ids_message
from prism_cli.errors import MissingDataError
from prism_cli.ports import FirstStage
from prism_cli.rows.fields import MARKED, SOURCE_TEXTS
from prism_cli.rows.marks import CorpusMarks
from prism_cli.shards.stored_corpus import StoredCorpus
from prism_cli.wording import counted

Passage = tuple[str, str, str]
"""doc_id, title, text."""


class JudgedCorpus(Protocol):
    """The interface of a data set for mining; `name` is the value of `source`."""

    name: str

    def passages(self) -> Iterator[Passage]:
        """Yield the corpus."""

    def queries(self) -> Iterator[tuple[str, str]]:
        """Yield all (query_id, query), of any split."""

    def marks(self) -> Mapping[str, Mapping[str, CorpusMarks]]:
        """Return query_id -> doc_id -> marks by the authors of the corpus."""

    def marked_queries(self, split: str) -> set[str]:
        """Return ids of the queries with marks and without judgements."""

    def qrels(self, split: str) -> Mapping[str, Mapping[str, int]]:
        """Return query_id -> doc_id -> grade."""


@dataclass(frozen=True)
class Mining:
    """Settings for the choice of negatives; see CollectConfig for the fields."""

    split: str
    negatives: int
    from_rank: int
    to_rank: int
    random_negatives: int
    positive_grade: int
    seed: int


class MinedQueries:
    """A source of rows: one query with its positives and negatives each, in file order.

    A negative is never a document that is relevant by the query's judgements (of any grade above
    0), nor the query itself. A document that marks call not answerable is a negative in addition to
    the mined ones; texts that marks have for a positive are added to it. Random choices depend on
    seed and query_id alone.

    Args:
        first_stage: ranks the candidates for hard negatives.
        report: called with each message.
    """

    def __init__(
        self,
        data: JudgedCorpus,
        first_stage: FirstStage,
        mining: Mining,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._data = data
        self._report = report
        self._first_stage = first_stage
        self._mining = mining
        self.name = f"{data.name}/{mining.split}"
        self._queries = self._short = self._without = 0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the mining settings; the files are the run's dependencies."""
        return sha256(repr((self._mining, self._first_stage.fingerprint)).encode()).hexdigest()

    def lines(self) -> Iterator[bytes]:
        """Yield one JSON row per query.

        Raises:
            MissingDataError: none of the judged documents is in the corpus.
        """
        mining = self._mining
        corpus = StoredCorpus(self._data.passages())
        qrels = self._data.qrels(mining.split)
        marks = self._data.marks()
        wanted = qrels.keys() | self._data.marked_queries(mining.split)
        query_ids, queries = set(), []
        for query_id, query in self._data.queries():
            query_ids.add(query_id)
            if query_id in wanted:
                queries.append((query_id, query))
        self._check_ids(query_ids, qrels, corpus)
        most = max(sum(grade > 0 for grade in grades.values()) for grades in qrels.values())
        depth = mining.to_rank + most + 1 if mining.negatives else 0
        if depth:
            check_listed_ids(
                self._first_stage,
                self.name,
                lambda: ((query_id,) for query_id in query_ids),
                lambda: corpus,
                self._report,
                LEFT_OUT,
            )
        rankings: Iterator[list[tuple[str, float]]] = (
            self._first_stage.search(queries, depth) if depth else iter([[]] * len(queries))
        )
        for (query_id, query), hits in zip(queries, rankings, strict=True):
            grades, marked = qrels.get(query_id, {}), marks.get(query_id, {})
            excluded = {doc_id for doc_id, grade in grades.items() if grade > 0} | {query_id}
            refused = [doc_id for doc_id, mark in marked.items() if not mark.answerable]
            refused = [doc_id for doc_id in refused if doc_id not in excluded]
            excluded |= set(refused)
            hard = self._hard(query_id, [doc_id for doc_id, _ in hits if doc_id not in excluded])
            drawn = self._drawn(query_id, corpus, excluded | set(hard))
            positives = {
                doc_id: str(grade)
                for doc_id, grade in grades.items()
                if grade >= mining.positive_grade
            }
            negatives = dict.fromkeys(refused, MARKED)
            negatives |= dict.fromkeys(hard, self._first_stage.spec)
            negatives |= dict.fromkeys(drawn, "random")
            texts = {
                doc_id: {"doc_id": doc_id, "title": passage[0], "document": passage[1]}
                for doc_id in (*positives, *negatives)
                if (passage := corpus.find(doc_id))
            }
            row = {
                "query_id": query_id,
                "query": query,
                "source": self._data.name,
                "split": mining.split,
                "pos": [
                    texts[doc_id] | {"source_label": label} | _own_texts(marked.get(doc_id))
                    for doc_id, label in positives.items()
                    if doc_id in texts
                ],
                "neg": [
                    texts[doc_id]
                    | {"source_label": str(max(grades.get(doc_id, 0), 0)), "negative": origin}
                    for doc_id, origin in negatives.items()
                    if doc_id in texts
                ],
            }
            yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
            # After it: the query behind the last one of --limit is never asked for.
            found = sum(doc_id in texts for doc_id in hard)
            self._queries += 1
            self._short += found < mining.negatives
            self._without += found < min(1, mining.negatives)

    @property
    def shortage(self) -> str | None:
        """Line on the queries read so far with fewer hard negatives than wanted, and why; None if
        all have enough."""
        if not self._short:
            return None
        mining, spec = self._mining, self._first_stage.spec
        words = " (it ranks the documents that share a word with the query)" * (spec == "bm25")
        return (
            f"{self.name}: queries with fewer than {counted(mining.negatives, 'hard negative')}: "
            f"{self._short:,} of {self._queries:,}, with none: {self._without:,}. {spec} ranks too "
            f"few documents that are not relevant at ranks {mining.from_rank:,} to "
            f"{mining.to_rank:,}{words}; --random-negatives N adds others"
        )

    def _check_ids(
        self, queries: set[str], qrels: Mapping[str, Mapping[str, int]], corpus: StoredCorpus
    ) -> None:
        documents = {doc_id for grades in qrels.values() for doc_id in grades}
        judged = {"queries": set(qrels), "documents": documents}
        known = {doc_id for doc_id in documents if corpus.find(doc_id)}
        existing = {"queries": queries, "documents": known}
        unknown = {kind: sorted(judged[kind] - existing[kind]) for kind in judged}
        for kind, ids in unknown.items():
            if len(ids) == len(judged[kind]):
                raise MissingDataError(
                    f"{self.name}: none of the {len(ids)} judged {kind} is in the corpus, such as "
                    f"{ids[0]!r}; the ids are others, or the judgements' columns are swapped"
                )
        for kind, ids in unknown.items():
            if ids:
                what = f"judged {kind} have no text"
                self._report(unknown_ids_message(self.name, what, ids, "they are left out"))

    def _hard(self, query_id: str, ranking: list[str]) -> list[str]:
        mining = self._mining
        window = ranking[mining.from_rank - 1 : mining.to_rank]
        if len(window) <= mining.negatives:
            return window
        generator = random.Random(f"{mining.seed}\0hard\0{query_id}")
        chosen = generator.sample(range(len(window)), mining.negatives)
        return [window[index] for index in sorted(chosen)]

    def _drawn(self, query_id: str, corpus: StoredCorpus, excluded: set[str]) -> list[str]:
        mining = self._mining
        if not mining.random_negatives:
            return []
        generator = random.Random(f"{mining.seed}\0random\0{query_id}")
        total = len(corpus)
        size = min(total, mining.random_negatives + len(excluded))
        drawn = [corpus.doc_id(number) for number in generator.sample(range(total), size)]
        return [doc_id for doc_id in drawn if doc_id not in excluded][: mining.random_negatives]


def _own_texts(marks: CorpusMarks | None) -> dict[str, str]:
    texts = (marks.contribution, marks.evidence) if marks is not None else ()
    return dict(zip(SOURCE_TEXTS, texts, strict=True)) if all(texts) and texts else {}
