"""Copied and new words: worked texts, and a quadratic reference."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prism_cli.domain import copying as module
from prism_cli.domain.copying import Copying, copying
from tests.mini import MINI

WORDS = st.sampled_from(["ab", "abcd"]).flatmap(
    lambda words: st.lists(st.sampled_from(words), max_size=40).map(" ".join)
)
CORPUS_WORDS = (MINI / "corpus.jsonl").read_text().split()


def by_the_book(text: str, document: str) -> list[int]:
    """Fragments by Grusky et al. 2018, figure 3: every position of the document is tried."""
    words, source = text.split(), document.split()
    matches, at = [], 0
    while at < len(words):
        longest = 0
        for place in range(len(source)):
            length = 0
            while (
                at + length < len(words)
                and place + length < len(source)
                and words[at + length] == source[place + length]
            ):
                length += 1
            longest = max(longest, length)
        if longest:
            matches.append(longest)
        at += longest or 1
    return matches


def new_ngrams(text: str, document: str, size: int) -> int:
    words, source = text.split(), document.split()
    there = {tuple(source[at : at + size]) for at in range(len(source) - size + 1)}
    return sum(tuple(words[at : at + size]) not in there for at in range(len(words) - size + 1))


@example("a a a a a b", "a a a a a a b")
@given(WORDS, WORDS)
def test_fragments_and_ngrams_equal_those_of_the_reference(text: str, document: str) -> None:
    counts = copying(text, document)
    lengths = by_the_book(text, document)
    assert counts.copied == sum(lengths)
    assert counts.words == len(text.split())
    squares = sum(length**2 for length in lengths)
    assert counts.density == pytest.approx(squares / max(counts.words, 1))
    assert list(counts.new) == [new_ngrams(text, document, size) for size in (1, 2, 3, 4)]


def test_figures_of_a_worked_text() -> None:
    document = "The tower in Paris was built in 1889, and it is of iron."
    text = "In Paris stands a tower; it is of iron."
    counts = copying(text, document)
    assert counts == Copying(9, 7, (4 + 1 + 16) / 9, (2, 4, 5, 5), (9, 8, 7, 6))


def test_characters_where_a_script_has_no_spaces() -> None:
    counts = copying("铁塔建于1889年。", "埃菲尔铁塔于1889年建成。")
    assert (counts.words, counts.copied) == (6, 6)  # 铁 塔 建 于 1889 年
    assert counts.new[:2] == (0, 2)  # 塔建, 建于


@pytest.mark.parametrize("text", ["", " .,;", "\x00\ud800"])
def test_a_text_or_document_without_words_copies_nothing(text: str) -> None:
    counts = copying(text, "a b")
    assert (counts.copied, counts.density) == (0, 0.0)
    assert copying("a b", text).copied == 0


class CountedReads(str):
    """Text that adds up the characters that slices take and that searches pass."""

    read = 0

    def __getitem__(self, place: Any) -> str:
        part = super().__getitem__(place)
        CountedReads.read += len(part)
        return part

    def find(self, part: str, start: int = 0) -> int:  # type: ignore[override]
        place = super().find(part, start)
        CountedReads.read += (len(self) if place < 0 else place) - start
        return place


@pytest.mark.parametrize(
    ("text", "document"),
    [
        (" ".join(CORPUS_WORDS[200:300] + CORPUS_WORDS[:200]), " ".join(CORPUS_WORDS[:5000])),
        ("a b " * 25_000, "a " * 50_000 + "b"),
        ("天地" * 100_000, "地" * 200_000),
        ("a " * 20_000 + "b", "a " * 50_000),
    ],
    ids=["ordinary", "pairs", "unspaced", "prefix"],
)
def test_work_is_linear_in_long_and_hostile_texts(
    text: str, document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []

    def counted(part: str, numbers: dict[str, str]) -> str:
        characters = as_characters(part, numbers)
        lengths.append(len(characters))
        return CountedReads(characters)

    as_characters = module._as_characters
    monkeypatch.setattr(module, "_as_characters", counted)
    monkeypatch.setattr(CountedReads, "read", 0)
    assert copying(text, document).copied > 0
    assert sum(lengths) < CountedReads.read < 20 * sum(lengths)


def test_a_copied_passage_of_an_ordinary_text_is_dense() -> None:
    document = " ".join(CORPUS_WORDS[:5000])
    assert copying(" ".join(CORPUS_WORDS[100:300]), document).density > 100
