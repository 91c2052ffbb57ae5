"""BM25 over a corpus (bm25s: Lucene's variant, k1 .9, b .4), with ties broken by document id."""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import bm25s
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN
from scipy import sparse

K1, B = 0.9, 0.4
_BLOCK = 65_536
_CACHED_WORDS = 500_000
_WORD = re.compile(r"(?u)\b\w\w+\b")
_UNSPACED = (  # scripts written without spaces between words
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
)
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")


class WordTokens:
    """Splits text into index terms.

    Terms are English (Snowball) stems of lower-cased words of at least two characters, without
    English stop words. Runs of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer,
    Burmese) become overlapping character bigrams instead, or the character itself if alone.
    """

    def __init__(self) -> None:
        self._stems = _Stems()

    def __call__(self, text: str) -> list[str]:
        """Return the terms of `text`; their order is unspecified if scripts mix."""
        text = text.lower()
        if text.isascii():
            return self._words(text)
        terms: list[str] = []
        for run in _UNSPACED_RUN.findall(text):
            terms += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
        return terms + self._words(_UNSPACED_RUN.sub(" ", text))

    def _words(self, text: str) -> list[str]:
        stems = self._stems
        return [stem for word in _WORD.findall(text) if (stem := stems[word])]


class _Stems(dict[str, str]):
    """Cache of word -> stem, "" for a stop word; holds at most _CACHED_WORDS words."""

    def __init__(self) -> None:
        self._stem = Stemmer.Stemmer("english", 0).stemWord  # 0: no cache of its own
        self._stops = frozenset(STOPWORDS_EN)

    def __missing__(self, word: str) -> str:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        stem: str = "" if word in self._stops else self._stem(word)
        self[word] = stem
        return stem


class _Numbered(dict[str, int]):
    """Mapping of terms to numbers in order of appearance."""

    def __missing__(self, term: str) -> int:
        number = self[term] = len(self)
        return number


class Bm25FirstStage:
    """Ranks a corpus by BM25; each search indexes the corpus again and stores nothing.

    Args:
        documents: returns (doc_id, text) of the whole corpus.
    """

    spec = "bm25"
    fingerprint = f"bm25 k1={K1} b={B} lucene snowball-english stop-words-en bigrams"

    def __init__(self, documents: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._documents = documents

    def search(
        self, queries: Sequence[tuple[str, str]], top_k: int
    ) -> Iterator[list[tuple[str, float]]]:
        """Yield the best `top_k` documents that share a term with each (query_id, query).

        Best first; equal scores are in descending order of document id, as in trec_eval.
        """
        index = Bm25Index(self._documents())
        for _, query in queries:
            yield index.best(query, top_k)


class Bm25Index:
    """An in-memory index of term weights and document ids, without texts.

    Takes 8 bytes per term of a document and about 100 per document; three times that while built.
    """

    def __init__(self, documents: Iterable[tuple[str, str]]) -> None:
        self._tokens = WordTokens()
        self._vocabulary = numbers = _Numbered()
        self._index = _FlatIndex(k1=K1, b=B, method="lucene")
        self.doc_ids: list[str] = []
        terms, ends = array("i"), array("q", [0])
        for doc_id, text in documents:
            self.doc_ids.append(doc_id)
            terms.extend([numbers[term] for term in self._tokens(text)])
            ends.append(len(terms))
        if self._vocabulary:
            self._index.fill(terms, ends, len(self._vocabulary))

    def best(self, query: str, top_k: int) -> list[tuple[str, float]]:
        """Return the best `top_k` (doc_id, score) of one query."""
        terms = [self._vocabulary[term] for term in self._tokens(query) if term in self._vocabulary]
        if not terms or top_k < 1:
            return []
        scores: Any = self._index.get_scores_from_ids(terms)
        indices = np.flatnonzero(scores > 0)
        if len(indices) > top_k:
            floor = np.partition(scores[indices], len(indices) - top_k)[len(indices) - top_k]
            indices = indices[scores[indices] >= floor]
        best = [(self.doc_ids[index], float(scores[index])) for index in indices.tolist()]
        best.sort(key=lambda hit: (hit[1], hit[0]), reverse=True)
        return best[:top_k]


class _FlatIndex(bm25s.BM25):  # type: ignore[misc]
    """bm25s's search over the same matrix as its index, without a Python object per document."""

    def fill(self, terms: "array[int]", ends: "array[int]", vocabulary: int) -> None:
        """Compute the weights of the terms.

        Args:
            terms: term ids of all documents, concatenated.
            ends: 0, then the end of each document in `terms`.
        """
        self.nonoccurrence_array = None
        columns = _weights(terms, ends, vocabulary).tocsc()
        self.scores = {
            "data": columns.data,
            "indices": columns.indices,
            "indptr": columns.indptr,
            "num_docs": columns.shape[0],
        }


def _weights(terms: "array[int]", ends: "array[int]", vocabulary: int) -> "sparse.csr_matrix":
    """Return Lucene's BM25 weight of each term in each document."""
    size = len(ends) - 1
    lengths = np.diff(np.frombuffer(ends, np.int64))
    matrix = sparse.csr_matrix(
        (
            np.ones(len(terms), np.float32),
            np.frombuffer(terms, np.int32),  # sorted in place; not used afterwards
            np.frombuffer(ends, np.int64),
        ),
        shape=(size, vocabulary),
    )
    matrix.sum_duplicates()  # the data are now term counts
    containing = np.bincount(matrix.indices, minlength=vocabulary)
    idf = np.log(1 + (size - containing + 0.5) / (containing + 0.5)).astype(np.float32)
    damping = K1 * (1 - B + B * lengths / lengths.mean())
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        first, last = matrix.indptr[start], matrix.indptr[stop]
        counts = matrix.data[first:last]
        damped = np.repeat(damping[start:stop], np.diff(matrix.indptr[start : stop + 1]))
        matrix.data[first:last] = idf[matrix.indices[first:last]] * (counts / (damped + counts))
    return matrix
