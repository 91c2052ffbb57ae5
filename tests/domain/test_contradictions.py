"""Pairs with contradictory answers."""

import pytest

from prism_cli.domain.contradictions import (
    CONTRADICTORY,
    REPEATED,
    PairAnswer,
    drop_reasons,
    name_contradictions,
    pair_answer,
    pair_key,
)


def test_contradictory_pairs_are_dropped_and_repeated_rows_are_deduplicated() -> None:
    answers = [
        PairAnswer("a", "yes"),
        PairAnswer("b", "yes"),
        PairAnswer("b", "yes"),
        PairAnswer("a", "no"),
        PairAnswer("a", "yes"),
        PairAnswer("c", None),
        PairAnswer("c", "no"),
        PairAnswer("b", "yes", "other"),
    ]
    reasons = drop_reasons(answers)
    assert reasons == [
        CONTRADICTORY, None, REPEATED, CONTRADICTORY, CONTRADICTORY, None, None, None,
    ]  # fmt: skip
    assert name_contradictions(reasons, answers, [f"f:{n}" for n in range(1, 9)]) == [
        "f:1 (yes) and f:4 (no) and f:5 (yes)"
    ]


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"verdict": "no", "teacher_score": 0.9, "source_label": "1"}, "no"),
        ({"verdict": None, "teacher_score": 0.51}, "yes"),
        ({"teacher_score": 0.5}, "no"),
        ({"source_label": "2"}, "yes"),
        ({"source_label": "strange"}, None),
        ({}, None),
    ],
)
def test_the_answer_is_the_verdict_then_the_score_then_the_label(
    row: dict[str, object], answer: str | None
) -> None:
    assert pair_answer(row) == answer


def test_texts_that_differ_in_case_and_blanks_are_one_pair() -> None:
    row = {"query": "Who  is it", "title": "A", "document": "b c"}
    assert pair_key(row) == pair_key({"query": "who is it ", "document": "a B  C"})
    assert pair_key(row) != pair_key(row | {"document": "b d"})
    assert len(pair_key(row)) == 16
