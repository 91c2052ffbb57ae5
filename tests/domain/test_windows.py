"""Windows cover a text, fit the limit, and begin and end where a reader would."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.windows import Span, check_windows, window_spans, without_repeats
from prism_cli.errors import ArgumentError

PIECES = [
    "word ",
    "Long",
    "e\u0301",
    "👩\u200d🔬",
    "中文。",
    "\n\n",
    "  \n",
    ". Next ",
    "<b>",
    "\r\n",
    "1.5 ",
]


def by_character(text: str, limit: int) -> list[Span]:
    """Return the windows where each character is a token."""
    return window_spans(text, range(len(text)), limit)


@given(st.lists(st.sampled_from(PIECES), max_size=120).map("".join), st.integers(8, 90))
def test_windows_cover_the_text_in_order_and_fit(text: str, limit: int) -> None:
    spans = by_character(text, limit)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for (start, end), (next_start, next_end) in pairwise(spans):
        assert start < next_start <= end < next_end
        assert end - next_start <= 0.12 * limit
        assert not unicodedata.combining(text[end])
        assert "\u200d" not in (text[end - 1], text[end], text[next_start])
    assert max(end - start for start, end in spans) <= limit


def test_windows_end_at_paragraphs_else_at_sentences_else_at_white_space() -> None:
    paragraph = "One two three four five. Six seven eight nine ten.\n\n"
    ends = [text[:end] for text in [paragraph * 9] for _, end in by_character(text, 130)[:-1]]
    assert all(part.endswith("\n\n") for part in ends)
    sentence = "Some words make a sentence here. "
    text = sentence * 12
    assert all(text[end - 2] == "." for _, end in by_character(text, 100)[:-1])
    words = "word " * 60
    assert all(words[end - 1] == " " for _, end in by_character(words, 50)[:-1])
    assert [end for _, end in by_character("x" * 100, 40)][-1] == 100


def test_a_window_begins_with_the_last_sentences_of_the_one_before() -> None:
    text = "".join(f"Sentence number {number} is here. " for number in range(100))
    spans = by_character(text, 900)
    for (_, end), (start, _) in pairwise(spans):
        assert text[start:end].count("Sentence number") == 2
        assert text[start:].startswith("Sentence number")


def test_the_last_window_is_no_short_rest() -> None:
    text = "Words fill a sentence. " * 46
    lengths = [end - start for start, end in by_character(text, 1000)]
    assert len(lengths) == 2
    assert min(lengths) > 350


def test_repeated_sentences_of_later_texts_are_left_out() -> None:
    first, second = "It is red. It has  wheels.", "it has wheels. It is old."
    assert without_repeats([first, second, "It is red."]) == [first, "It is old."]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ArgumentError, match="long_documents: expected window or cut, found 'all'"):
        check_windows("all", None)
    with pytest.raises(ArgumentError, match="window_tokens: expected 32 or more, found 5"):
        check_windows("window", 5)
