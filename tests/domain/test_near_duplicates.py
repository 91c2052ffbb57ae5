"""Shingles, MinHash and groups."""

import random
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.near_duplicates import (
    BANDS,
    THRESHOLD,
    Groups,
    Shingles,
    band_keys,
    document_shingles,
    jaccard,
    loose_query_shingles,
    normalised,
    numbers_in,
    query_shingles,
    signatures,
)
from prism_cli.domain.words import words


def similarity(shingles: Shingles, first: str, other: str) -> float:
    return jaccard(*(set(shingles(text).tolist()) for text in (first, other)))


def plain_shingles(parts: list[str], length: int) -> set[tuple[str, ...]]:
    count = max(len(parts) - length + 1, 1)
    return {tuple(parts[start : start + length]) for start in range(count)}


TEXTS = st.text("ab c中文é", min_size=1, max_size=40).map(normalised).filter(bool)


@given(TEXTS, TEXTS)
def test_jaccard_of_characters_equals_that_of_plain_sets(first: str, other: str) -> None:
    left, right = (plain_shingles(list(text), 3) for text in (first, other))
    estimate = similarity(query_shingles, first, other)
    assert estimate == pytest.approx(len(left & right) / len(left | right))


@given(TEXTS, TEXTS)
def test_jaccard_of_words_equals_that_of_plain_sets(first: str, other: str) -> None:
    left, right = (plain_shingles(words(text), 3) for text in (first, other))
    estimate = similarity(document_shingles, first, other)
    assert estimate == pytest.approx(len(left & right) / len(left | right))


@pytest.mark.parametrize(
    ("first", "other", "near"),
    [
        ("wound care tips elderly", "elderly wound care tips", True),
        ("how to clean a wound", "how to close a wound", False),
        ("如何在家清洁深层伤口", "如何在家里清洁深层伤口", True),
        ("北京到上海的火车票价格", "北京到广州的火车票价格", False),
        ("東京 天気", "天気 東京", True),
    ],
)
def test_loose_shingles_ignore_word_order(first: str, other: str, near: bool) -> None:
    assert (similarity(loose_query_shingles, first, other) >= THRESHOLD) == near


@given(st.text(max_size=60))
def test_normal_form_is_stable_and_bounded_by_words(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert "  " not in once
    assert len(document_shingles(once)) >= 1
    assert len(query_shingles(once)) >= 1
    assert len(loose_query_shingles(once)) >= 1


def test_normal_form_of_known_texts() -> None:
    assert normalised("  What's  the CAPITAL?") == "what s the capital"
    assert normalised("\uff37\uff28\uff21\uff34 is\u00a0Straße_1") == "what is strasse 1"
    assert normalised("?!") == "?!"
    assert normalised("C++") == "c"


def test_numbers_of_a_text_are_compared_as_a_set_of_tokens() -> None:
    assert numbers_in("from 7 to 10 in 2010") == numbers_in("in 2010 from 7 to 10")
    assert numbers_in("iphone 6") != numbers_in("iphone 7")


def random_text(lot: random.Random, count: int) -> list[str]:
    return ["".join(lot.choices(string.ascii_lowercase, k=6)) for _ in range(count)]


def test_signatures_estimate_the_similarity() -> None:
    lot = random.Random(5)
    errors = []
    for _ in range(60):
        tokens = random_text(lot, 200)
        changed = [word if lot.random() < 0.95 else "other" for word in tokens]
        first, other = " ".join(tokens), " ".join(changed)
        rows = signatures([document_shingles(first), document_shingles(other)])
        errors.append((rows[0] == rows[1]).mean() - similarity(document_shingles, first, other))
    assert abs(float(np.mean(errors))) < 0.02
    assert float(np.std(errors)) < 0.08


def test_bands_propose_nearly_every_pair_above_the_threshold() -> None:
    lot = random.Random(9)
    missed = looked_at = 0
    for _ in range(120):
        tokens = random_text(lot, 100)
        place = lot.randrange(100)
        changed = [*tokens[:place], "other", *tokens[place + 1 :]]
        assert similarity(document_shingles, " ".join(tokens), " ".join(changed)) > 0.9
        both = [document_shingles(" ".join(words)) for words in (tokens, changed)]
        rows = signatures(both)
        missed += not any(len(set(band_keys(rows, band).tolist())) == 1 for band in range(BANDS))
        strangers = signatures([both[0], document_shingles(" ".join(random_text(lot, 100)))])
        looked_at += any(
            len(set(band_keys(strangers, band).tolist())) == 1 for band in range(BANDS)
        )
    assert (missed, looked_at) == (0, 0)


def test_signature_does_not_depend_on_the_texts_beside_it() -> None:
    texts = [document_shingles(f"one two three {number} five six") for number in range(50)]
    together = signatures(texts)
    alone = np.concatenate([signatures([text]) for text in texts])
    assert (together == alone).all()


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_groups_are_the_connected_components(edges: list[tuple[int, int]]) -> None:
    groups = Groups(20)
    for first, other in edges:
        groups.join(first, other)
    parts = {number: {number} for number in range(20)}
    for first, other in edges:
        together = parts[first] | parts[other]
        for number in together:
            parts[number] = together
    for first in range(20):
        assert {n for n in range(20) if groups.find(n) == groups.find(first)} == parts[first]
    assert groups.roots().tolist() == [groups.find(number) for number in range(20)]
