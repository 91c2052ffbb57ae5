"""BM25 over a corpus (Lucene's variant, k1 .9, b .4), with ties broken by document id.

A corpus that exceeds the memory limit is indexed in parts, one after another, weighted by document
frequencies and average length of the whole corpus. Ranking and scores are those of one index, bit
by bit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat

from prism_cli.adapters.first_stages.bm25_index import (
    K1,
    B,
    Bm25Index,
    CorpusStatistics,
    Hits,
    Postings,
    best_first,
)
from prism_cli.adapters.first_stages.word_tokens import WordTokens
from prism_cli.shards.spill import SpilledObjects


class _Numbered(dict[str, int]):
    """Mapping of terms to numbers in order of appearance."""

    def __missing__(self, term: str) -> int:
        number = self[term] = len(self)
        return number


class Bm25FirstStage:
    """Ranks a corpus by BM25; each search indexes the terms of its queries and keeps nothing.

    Args:
        documents: returns (doc_id, text) of the whole corpus; called once per search.
        memory: bytes that an index may take, approximately; a larger one is made in parts, in the
            folder for temporary files. None: no limit.
    """

    spec = "bm25"
    fingerprint = f"bm25 k1={K1} b={B} lucene snowball-english stop-words-en bigrams"

    def __init__(
        self, documents: Callable[[], Iterable[tuple[str, str]]], memory: int | None = None
    ) -> None:
        self._documents, self._memory = documents, memory

    def search(self, queries: Sequence[tuple[str, str]], top_k: int) -> Iterator[Hits]:
        """Yield the best `top_k` documents that share a term with each (query_id, query).

        Best first; equal scores are in descending order of document id, as in trec_eval.

        Raises:
            StorageError: the folder for temporary files is full.
        """
        tokens, vocabulary = WordTokens(), _Numbered()
        asked = [[vocabulary[term] for term in tokens(query)] for _, query in queries]
        statistics = CorpusStatistics(len(vocabulary))
        parts = self._parts(tokens, vocabulary, statistics)
        hits: Iterable[Hits] = repeat([], len(asked))
        for number, index in enumerate(parts, 1):
            index.weigh(statistics)
            hits = _merged(hits, index, asked, top_k)
            if number < len(parts):
                hits = SpilledObjects(hits)
            del index  # before the next one is loaded
        yield from hits

    def _parts(
        self, tokens: WordTokens, vocabulary: dict[str, int], statistics: CorpusStatistics
    ) -> "list[Bm25Index] | SpilledObjects[Bm25Index]":
        """Return the corpus in indexes that fit into memory; one of several is loaded at a time."""
        postings, stored = Postings(), SpilledObjects[Bm25Index]()
        for doc_id, text in self._documents():
            if self._memory is not None and not postings.fits(self._memory):
                stored.append(Bm25Index(postings, statistics))
                postings = Postings()
            terms = tokens(text)
            numbers = [number for term in terms if (number := vocabulary.get(term)) is not None]
            postings.add(doc_id, numbers, len(terms))
        last = Bm25Index(postings, statistics)
        if not stored:
            return [last]
        stored.append(last)
        return stored


def _merged(
    earlier: Iterable[Hits], index: Bm25Index, asked: Iterable[Sequence[int]], top_k: int
) -> Iterator[Hits]:
    """Yield for each query the best of the hits in earlier parts and of those in `index`."""
    for hits, terms in zip(earlier, asked, strict=True):
        own = index.best(terms, top_k)
        yield best_first(hits + own, top_k) if hits else own
