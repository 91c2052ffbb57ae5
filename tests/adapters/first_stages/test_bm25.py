"""BM25: terms, order, and a hand-computed value."""

import math
import random

import bm25s
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
from prism_cli.adapters.first_stages.bm25_index import (
    K1,
    B,
    Bm25Index,
    CorpusStatistics,
    Postings,
)
from prism_cli.adapters.first_stages.word_tokens import WordTokens


def search(corpus: dict[str, str], query: str, top_k: int = 10) -> list[tuple[str, float]]:
    return next(iter(Bm25FirstStage(corpus.items).search([("q", query)], top_k)))


def test_words_are_lowercased_stemmed_and_stop_words_removed() -> None:
    assert WordTokens()("The Engines were RUNNING, a 7 b12") == ["engin", "were", "run", "b12"]


def test_unspaced_scripts_become_character_bigrams() -> None:
    terms = WordTokens()
    assert terms("黑豹队的防守") == ["黑豹", "豹队", "队的", "的防", "防守"]
    assert terms("水") == ["水"]
    assert terms("NFL 联盟 engines") == ["联盟", "nfl", "engin"]
    assert terms("นก") == ["นก"]


def test_score_equals_a_hand_computed_value() -> None:
    corpus = {"a": "steam engine", "b": "steam steam boiler house", "c": "river"}
    average, frequency, length = 7 / 3, 2, 4
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = idf * frequency / (frequency + K1 * (1 - B + B * length / average))
    hits = dict(search(corpus, "steam"))
    assert hits["b"] == pytest.approx(expected, rel=1e-5)
    assert set(hits) == {"a", "b"}


def test_scores_equal_those_of_bm25s() -> None:
    lot, words = random.Random(2), ["apple", "pear", "plum", "fig", "quince"]
    corpus = {
        f"d{number}": " ".join(lot.choices(words, k=lot.randint(0, 9))) for number in range(70)
    }
    tokens = WordTokens()
    theirs = bm25s.BM25(k1=K1, b=B, method="lucene")
    theirs.index([tokens(text) for text in corpus.values()], show_progress=False)
    expected = theirs.get_scores(tokens("pear fig fig"))
    hits = dict(search(corpus, "pear fig fig", 100))
    assert len(hits) > 40
    assert [hits.get(doc_id, 0.0) for doc_id in corpus] == expected.tolist()


def test_ties_are_decided_by_document_id_also_at_the_cut() -> None:
    corpus = dict.fromkeys(("d3", "d1", "d4", "d2"), "same words")
    assert [doc for doc, _ in search(corpus, "words", 2)] == ["d4", "d3"]
    assert [doc for doc, _ in search(dict(reversed(corpus.items())), "words", 2)] == ["d4", "d3"]


def test_top_k_keeps_the_best() -> None:
    corpus = {f"d{i}": "apple " * i + "pear " * (20 - i) for i in range(1, 20)}
    hits = search(corpus, "apple", 100)
    assert len(hits) == 19
    assert search(corpus, "apple", 5) == hits[:5]


@pytest.mark.parametrize("query", ["unknown words", "", "the", "。"])
def test_query_without_a_known_term_finds_nothing(query: str) -> None:
    assert search({"a": "steam engine"}, query) == []


def test_corpus_without_a_term_finds_nothing() -> None:
    assert search({"a": "", "b": "the"}, "steam") == []


def test_chinese_text_is_found() -> None:
    corpus = {"a": "黑豹队的防守只丢了 308分", "b": "野马队的进攻"}
    assert search(corpus, "黑豹队丢了多少分")[0][0] == "a"


def test_the_corpus_is_read_lazily() -> None:
    read = []

    def documents() -> list[tuple[str, str]]:
        read.append(1)
        return [("a", "steam")]

    stage = Bm25FirstStage(documents)
    assert not read
    assert list(stage.search([("q", "steam"), ("r", "")], 1))[1] == []
    assert read == [1]


WORDS = ["steam", "engine", "river", "黑豹队", "the", "boats"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


@given(
    texts=st.lists(TEXTS, max_size=12),
    queries=st.lists(TEXTS, max_size=3),
    top_k=st.integers(0, 6),
    memory=st.integers(0, 700),
)
def test_parts_of_a_corpus_rank_like_one_index(
    texts: list[str], queries: list[str], top_k: int, memory: int
) -> None:
    corpus = [(f"d{7 * number % 13}", text) for number, text in enumerate(texts)]
    named = [(str(number), query) for number, query in enumerate(queries)]
    whole = list(Bm25FirstStage(lambda: corpus).search(named, top_k))
    assert list(Bm25FirstStage(lambda: corpus, memory).search(named, top_k)) == whole
    assert len(whole) == len(queries)


def test_a_small_memory_makes_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def index(postings: Postings, statistics: CorpusStatistics) -> Bm25Index:
        sizes.append(len(postings.lengths))
        return Bm25Index(postings, statistics)

    monkeypatch.setattr("prism_cli.adapters.first_stages.bm25.Bm25Index", index)
    corpus = {f"d{number}": "steam engine" for number in range(9)}
    hits = next(Bm25FirstStage(corpus.items, memory=200).search([("q", "steam")], 4))
    assert sizes == [3, 3, 3]
    assert [doc_id for doc_id, _ in hits] == ["d8", "d7", "d6", "d5"]


def test_memory_grows_with_terms_documents_and_ids() -> None:
    postings = Postings()
    assert postings.fits(0)
    postings.add("d1", [0, 1, 1], 5)
    assert postings.fits(16 * 3 + 50 + 2)
    assert not postings.fits(16 * 3 + 50 + 1)
