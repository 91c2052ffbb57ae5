"""Index of a corpus, or of a part of one, for BM25: term counts, then weights."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import bm25s
import numpy as np
from scipy import sparse

K1, B = 0.9, 0.4
Hits = list[tuple[str, float]]
"""(doc_id, score), best first."""
_BLOCK = 1 << 20
_LARGEST = (1 << 31) - 1  # more terms take indices of 64 bits


class CorpusStatistics:
    """Statistics of a corpus on which the weights of each document depend.

    Attributes:
        documents: number of documents.
        length: number of terms of all documents, unknown ones included.
        containing: number of documents with each term, int64 [vocabulary].
    """

    def __init__(self, vocabulary: int) -> None:
        self.documents = self.length = 0
        self.containing = np.zeros(vocabulary, dtype=np.int64)


class Postings:
    """Terms of documents in memory, in compact form."""

    def __init__(self) -> None:
        self.terms, self.ends = array("i"), array("q", [0])
        self.lengths = array("i")
        self.ids, self.id_ends = bytearray(), array("q", [0])

    def add(self, doc_id: str, terms: Sequence[int], length: int) -> None:
        """Add a document.

        Args:
            terms: numbers of its terms, repeated ones as often as they occur.
            length: number of its terms, with those that have no number.
        """
        self.terms.extend(terms)
        self.ends.append(len(self.terms))
        self.lengths.append(length)
        self.ids += doc_id.encode("utf-8", "surrogatepass")
        self.id_ends.append(len(self.ids))

    @property
    def memory(self) -> int:
        """Bytes that it takes to index and search these documents, an upper estimate: 16 a term,
        while columns are made, and 50 a document with its id."""
        return 16 * len(self.terms) + 50 * len(self.lengths) + len(self.ids)

    def fits(self, memory: int) -> bool:
        """Return whether an index of these documents takes at most `memory` bytes."""
        return self.memory <= memory and len(self.terms) < _LARGEST


class Bm25Index:
    """An inverted index without texts: 8 bytes per different term of a document.

    Args:
        statistics: the documents are added to it. `weigh` takes the complete one.
    """

    def __init__(self, postings: Postings, statistics: CorpusStatistics) -> None:
        self._lengths = np.array(postings.lengths, dtype=np.int32)
        self._ids, self._id_ends = bytes(postings.ids), postings.id_ends
        size, vocabulary = len(self._lengths), len(statistics.containing)
        matrix = sparse.csr_matrix(
            (
                np.ones(len(postings.terms), np.float32),
                np.frombuffer(postings.terms, np.int32),
                np.frombuffer(postings.ends, np.int64),
            ),
            shape=(size, vocabulary),
        )
        self._columns = matrix.tocsc()
        self._columns.sum_duplicates()  # the data are now term counts
        self._search: Any = None
        statistics.documents += size
        statistics.length += int(self._lengths.sum(dtype=np.int64))
        statistics.containing += np.diff(self._columns.indptr)

    def weigh(self, statistics: CorpusStatistics) -> None:
        """Replace term counts by Lucene's BM25 weights."""
        counts, size, containing = self._columns, statistics.documents, statistics.containing
        idf = np.log(1 + (size - containing + 0.5) / (containing + 0.5)).astype(np.float32)
        average = max(statistics.length, 1) / max(size, 1)
        damping = K1 * (1 - B + B * self._lengths / average)
        for start in range(0, len(counts.data), _BLOCK):
            stop = min(start + _BLOCK, len(counts.data))
            first = np.searchsorted(counts.indptr, start, "right") - 1
            last = np.searchsorted(counts.indptr, stop, "left")
            sizes = np.diff(np.clip(counts.indptr[first : last + 1], start, stop))
            count = counts.data[start:stop]
            saturation = count / (damping[counts.indices[start:stop]] + count)
            counts.data[start:stop] = np.repeat(idf[first:last], sizes) * saturation
        self._search = bm25s.BM25(k1=K1, b=B, method="lucene")
        self._search.nonoccurrence_array = None
        self._search.scores = {
            "data": counts.data,
            "indices": counts.indices,
            "indptr": counts.indptr,
            "num_docs": len(self._lengths),
        }

    def best(self, terms: Sequence[int], top_k: int) -> Hits:
        """Return the best `top_k` documents with one of `terms`; call `weigh` before."""
        if not terms or top_k < 1:
            return []
        scores = self._search.get_scores_from_ids(terms)
        found = np.flatnonzero(scores > 0)
        if len(found) > top_k:
            floor = np.partition(scores[found], len(found) - top_k)[len(found) - top_k]
            found = found[scores[found] >= floor]
        hits = ((self._doc_id(number), float(scores[number])) for number in found.tolist())
        return best_first(hits, top_k)

    def _doc_id(self, number: int) -> str:
        start, end = self._id_ends[number], self._id_ends[number + 1]
        return self._ids[start:end].decode("utf-8", "surrogatepass")


def best_first(hits: Iterable[tuple[str, float]], top_k: int) -> Hits:
    """Return the best `top_k`; equal scores in descending order of document id, as in trec_eval."""
    return sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)[:top_k]
