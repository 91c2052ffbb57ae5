"""Truncated documents, dropped pairs, and texts that need no tokenizer."""

from typing import Any

import pytest

from prism_cli.domain.length_caps import EstimateCutter, LengthCaps
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.rows.row import doc_id, document_text
from tests.factories import make_pair


class WordCutter:
    """Cutter whose tokens are words; records the texts."""

    name = "words"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def bound(self, text: str) -> int:
        return len(text)

    def count(self, text: str, most: int | None = None) -> int:
        self.asked.append(text)
        return len(text.split())

    def cut(self, text: str, limit: int) -> str:
        self.asked.append(text)
        return " ".join(text.split(" ")[:limit])


def test_document_is_cut_and_keeps_its_id() -> None:
    row = make_pair(0, document="one two three four five", doc_id=None)
    before = doc_id(row)
    assert LengthCaps(WordCutter(), document_tokens=3).cut(row)
    assert row["document"] == "one two three"
    assert row["doc_id"] == before
    named = make_pair(0, document="one two three four five", doc_id="d7")
    assert LengthCaps(WordCutter(), document_tokens=3).cut(named)
    assert named["doc_id"] == "d7"


def test_document_within_the_limit_is_untouched() -> None:
    row = make_pair(0, document="one two three", doc_id=None)
    before = dict(row)
    for limit in (0, 3, 100):
        assert not LengthCaps(WordCutter(), document_tokens=limit).cut(row)
    assert row == before


def test_title_counts_and_is_cut_only_where_it_is_too_long() -> None:
    row = make_pair(0, title="a title", document="one two three four")
    assert LengthCaps(WordCutter(), document_tokens=4).cut(row)
    assert (row["title"], row["document"]) == ("a title", "one two")
    assert document_text(row) == "a title one two"
    row = make_pair(0, title="a title of five words", document="one two three four")
    assert LengthCaps(WordCutter(), document_tokens=4).cut(row)
    assert (row["title"], row["document"]) == ("", "a title of five")


@pytest.mark.parametrize(
    ("query", "document", "refused"),
    [(3, 7, False), (4, 7, True), (4, 6, False), (9, 1, False), (10, 1, True), (3, 5000, False)],
)
def test_pair_is_query_and_cut_document(query: int, document: int, refused: bool) -> None:
    row = make_pair(0, query="q " * query, document="d " * document)
    caps = LengthCaps(WordCutter(), document_tokens=7, pair_tokens=10)
    assert caps.drop_reason(row) == ("pair over 10 tokens" if refused else None)
    assert LengthCaps(WordCutter(), document_tokens=7).drop_reason(row) is None


def test_without_a_document_limit_the_whole_document_counts() -> None:
    row = make_pair(0, query="q", document="d " * 5000)
    caps = LengthCaps(WordCutter(), pair_tokens=5000)
    assert caps.drop_reason(row) == "pair over 5,000 tokens"
    assert LengthCaps(WordCutter(), pair_tokens=5001).drop_reason(row) is None


@pytest.mark.parametrize(
    "texts",
    [
        {"query": "q" * 30, "document": "d" * 40},
        # The truncated document has at most 40 tokens.
        {"query": "q" * 60},
    ],
)
def test_short_texts_are_not_tokenized(texts: dict[str, Any]) -> None:
    cutter = WordCutter()
    caps = LengthCaps(cutter, document_tokens=40, pair_tokens=100)
    row = make_pair(0, document="d " * 500) | texts
    assert caps.drop_reason(row) is None
    assert cutter.asked == []
    caps.cut(row)
    assert len(cutter.asked) == (len(row["document"]) > 40)


def test_the_estimate_truncates_at_a_word_and_is_marked_as_estimate() -> None:
    caps = LengthCaps(EstimateCutter(), 10, 20)
    words = [
        "seven",
        "words",
        "here",
        "and",
        "ten",
        "tokens",
        "are",
        "not",
        "enough",
        "for",
        "them",
    ]
    row = make_pair(0, document=" ".join(words * 3))
    assert caps.cut(row)
    assert 8 <= estimate_tokens(row["document"]) <= 10
    assert row["document"].split() == words[: len(row["document"].split())]
    limits = caps.summary()["lengths"]
    assert isinstance(limits, str)
    assert "cut to 10 tokens" in limits
    assert "over 20 tokens" in limits
    assert "estimate" in limits
    assert LengthCaps(EstimateCutter()).summary() == {}
