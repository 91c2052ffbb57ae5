"""SQuAD's normalisation on worked examples, and answers as whole tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.squad_tokens import TokenText, squad_scores, squad_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The Kerrow lighthouse", ["kerrow", "lighthouse"]),
        ("an  Apple, a\tday.", ["apple", "day"]),
        ("theatre and another", ["theatre", "and", "another"]),
        ("Halden Rovers'", ["halden", "rovers"]),
        ("well-known U.S. $1.5 (1966–67)", ["wellknown", "us", "15", "196667"]),
        ("“Quoted” ‘so’…", ["quoted", "so"]),
        ("12 °C", ["12", "°c"]),
        ("《红楼梦》，1791年。", ["红", "楼", "梦", "1791", "年"]),
        ("the A an.", []),
        ("", []),
    ],
)
def test_worked_examples(text: str, tokens: list[str]) -> None:
    assert squad_tokens(text) == tokens


@given(st.text(), st.text(), st.text())
def test_a_text_contains_its_token_sequences(before: str, answer: str, after: str) -> None:
    assert TokenText(f"{before} {answer} {after}").holds(answer) is bool(squad_tokens(answer))


@pytest.mark.parametrize(
    ("text", "answer", "held"),
    [
        ("It was the Orkneymen, in 1874.", "orkneymen", True),
        ("Orkneymen in 1874", "Orkney", False),  # a token is whole
        ("in 1874 the Orkneymen", "Orkneymen in 1874", False),  # and in order
        ("盐商在1874年来到。", "1874年", True),
        ("anything", "the", False),
        # A sign ends a word, though SQuAD's tokens run on behind it.
        ("Anselm Pell’s arm", "Anselm Pell", True),
        ("the war of 1234-38", "1234", True),
        ("for €1.5 billion", "1.5 billion", True),
        ("a 13-year-old", "13", True),
        ("in 15 years", "5", False),
        ("it is notable", "no", False),
    ],
)
def test_answers_are_found_as_whole_tokens(text: str, answer: str, held: bool) -> None:
    assert TokenText(text).holds(answer) is held


@pytest.mark.parametrize(
    ("reply", "answers", "exact", "f1", "contained"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], 1, 1, 1),
        ("in 1889", ["1889", "the year 1889"], 0, 2 / 3, 1),
        ("Paris, France", ["London"], 0, 0, 0),
        ("a a b b", ["b b c"], 0, 4 / 5, 0),  # "a" is an article: 2 shared of 2 and 3
        ("", ["1889"], 0, 0, 0),
        ("", ["the"], 1, 1, 0),
        ("15", ["5"], 0, 0, 0),
    ],
)
def test_scores_of_a_reply_are_the_best_over_the_answers(
    reply: str, answers: list[str], exact: float, f1: float, contained: float
) -> None:
    scores = squad_scores(reply, answers)
    assert scores == pytest.approx({"exact_match": exact, "f1": f1, "contained": contained})
