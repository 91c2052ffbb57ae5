"""BM25 over a corpus (bm25s: Lucene's variant, k1 .9, b .4), with ties decided by document id."""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import bm25s
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

K1, B = 0.9, 0.4
_WORD = re.compile(r"(?u)\b\w\w+\b")
_UNSPACED = (  # scripts written without spaces between words
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
)
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")


class WordTokens:
    """Text to index terms.

    Words of two characters and more, in lower case, English stop words out, English (Snowball)
    stems. Runs of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) become
    overlapping pairs of characters instead, a lone character itself; the choice is made run by run.
    """

    def __init__(self) -> None:
        self._stem = Stemmer.Stemmer("english").stemWord
        self._stops = frozenset(STOPWORDS_EN)
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> list[str]:
        """The terms of `text`, in no promised order where scripts mix."""
        text = text.lower()
        if text.isascii():
            return self._words(text)
        terms: list[str] = []
        for run in _UNSPACED_RUN.findall(text):
            terms += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
        return terms + self._words(_UNSPACED_RUN.sub(" ", text))

    def _words(self, text: str) -> list[str]:
        terms = []
        for word in _WORD.findall(text):
            if word not in self._stops:
                stem = self._known.get(word)
                if stem is None:
                    stem = self._known[word] = self._stem(word)
                terms.append(stem)
        return terms


class Bm25FirstStage:
    """Ranks a corpus that it reads at each search; between searches it holds nothing.

    Args:
        documents: gives (doc_id, text) of the whole corpus.
    """

    spec = "bm25"
    fingerprint = f"bm25 k1={K1} b={B} lucene snowball-english stop-words-en bigrams"

    def __init__(self, documents: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._documents = documents

    def search(
        self, queries: Sequence[tuple[str, str]], top_k: int
    ) -> Iterator[list[tuple[str, float]]]:
        """For each (query_id, query) the best `top_k` documents that share a term with it.

        Best first; equal scores in falling order of document id, which is trec_eval's order.
        """
        index = Bm25Index(self._documents())
        for _, query in queries:
            yield index.best(query, top_k)


class Bm25Index:
    """An index in memory: the terms' weights and the document ids, never the texts."""

    def __init__(self, documents: Iterable[tuple[str, str]]) -> None:
        self._terms = WordTokens()
        self._vocabulary: dict[str, int] = {}
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene")
        self.doc_ids: list[str] = []
        rows = list(self._rows(documents))
        if self._vocabulary:
            self._index.index((rows, dict(self._vocabulary)), show_progress=False)

    def best(self, query: str, top_k: int) -> list[tuple[str, float]]:
        """The best `top_k` (doc_id, score) of one query."""
        known = [self._vocabulary[term] for term in self._terms(query) if term in self._vocabulary]
        if not known or top_k < 1:
            return []
        scores: Any = self._index.get_scores_from_ids(known)
        found = np.flatnonzero(scores > 0)
        if len(found) > top_k:
            floor = np.partition(scores[found], len(found) - top_k)[len(found) - top_k]
            found = found[scores[found] >= floor]
        best = [(self.doc_ids[index], float(scores[index])) for index in found.tolist()]
        best.sort(key=lambda one: (one[1], one[0]), reverse=True)
        return best[:top_k]

    def _rows(self, documents: Iterable[tuple[str, str]]) -> Iterator[Any]:
        vocabulary = self._vocabulary
        for doc_id, text in documents:
            self.doc_ids.append(doc_id)
            ids = array("i")
            for term in self._terms(text):
                ids.append(vocabulary.setdefault(term, len(vocabulary)))
            yield np.frombuffer(ids, dtype=np.int32) if ids else np.empty(0, np.int32)
