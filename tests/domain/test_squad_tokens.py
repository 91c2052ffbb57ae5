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
        # By the rules of SQuAD's script: punctuation goes first, so that articles stay in "ateam".
        ("The A-team", ["a team"], 0, 0, 1),
        ("U.S.", ["the US"], 1, 1, 1),
        ("An", ["a"], 1, 1, 0),
        ("10\u00a0km", ["10 km"], 1, 1, 1),
        ("café", ["cafe"], 0, 0, 0),
        ("€5", ["$5"], 0, 0, 1),  # a currency sign is punctuation in ASCII alone
        ("the cat sat on the mat", ["cat on mat", "dog"], 0, 6 / 7, 0),
        # Yes and no, as of PubMedQA.
        ("Yes.", ["yes"], 1, 1, 1),
        ("Yes, it does", ["yes"], 0, 1 / 2, 1),
        ("no", ["yes"], 0, 0, 0),
        ("not known", ["no"], 0, 0, 0),
        # Lists: an answer that is a list, and answers that are alternatives.
        ("- Paris - London", ["Paris, London"], 1, 1, 1),
        ("London and Paris", ["Paris", "London"], 0, 1 / 2, 1),
        # Scripts without blanks by character, as in MLQA; the others by word.
        ("1889年建成", ["1889年"], 0, 2 / 3, 1),
        ("《红楼梦》", ["红楼梦"], 1, 1, 1),
        ("ปี 1889", ["ปี1889"], 1, 1, 1),
        ("1889년에", ["1889년"], 0, 0, 0),
        ("في عام 1889،", ["عام 1889"], 0, 4 / 5, 1),
        ("सन् 1889 में।", ["1889 में"], 0, 4 / 5, 1),
    ],
)
def test_scores_of_a_reply_are_the_best_over_the_answers(
    reply: str, answers: list[str], exact: float, f1: float, contained: float
) -> None:
    scores = squad_scores(reply, answers)
    assert scores == pytest.approx({"exact_match": exact, "f1": f1, "contained": contained})
