"""Measures of one evidence text, gold marks of a document, and its first sentences."""

import pytest

from prism_cli.domain.evidence_measures import lead, marks_of, text_measures

DOCUMENT = "The tower in Paris was built in 1889. It is 330 m high. Gustave Eiffel made it."


def test_counts_of_a_text() -> None:
    measures = text_measures("The tower in Paris is 331 m high, built in 1889.", DOCUMENT)
    assert measures["characters"] == 48
    assert measures["entities"] == {"number": [1, 2], "name": [1, 1]}
    assert measures["missing"] == ["331 m"]
    assert (measures["words"], measures["copied"]) == (11, 10)
    assert measures["tokens"] > 10


def test_marks_of_a_document_are_counted() -> None:
    marks = marks_of(DOCUMENT, answers=["1890", "the"], rationales=["It is 330 m high."])
    assert marks.in_document is False
    assert marks.measures("In 1890, 330 m high.") == {
        "answer_kept": True, "recall": 1.0, "precision": 1.0, "f1": 1.0,
    }  # fmt: skip
    assert marks.measures("") == {"answer_kept": False, "recall": 0, "precision": 0, "f1": 0}
    third = marks_of(DOCUMENT, rationales=["It is 330 m high.", "Nobody came.", "None left."])
    assert third.measures("It is 330 m high.")["recall"] == 1 / 3


@pytest.mark.parametrize(
    ("answer", "sentence", "counted"),
    [
        ("Gustave Eiffel", "it is 330 M high", ["answer_kept", "recall", "precision", "f1"]),
        ("Gustave Eiffel", "it is 331 m high", ["answer_kept"]),
        ("Eiffel Gustave", "It is 330 m high.", ["recall", "precision", "f1"]),
        ("Eiffel Gustave", "It is 331 m high.", []),
    ],
)
def test_marks_of_a_query_count_only_if_they_occur_in_the_document(
    answer: str, sentence: str, counted: list[str]
) -> None:
    marks = marks_of(
        DOCUMENT,
        answers=[answer],
        rationales=[sentence],
        answers_here=False,
        rationales_here=False,
    )
    assert list(marks.measures("Gustave Eiffel")) == counted
    assert marks.in_document is (answer == "Gustave Eiffel")


@pytest.mark.parametrize(
    ("characters", "count"), [(0, 1), (37, 1), (54, 1), (55, 2), (78, 2), (79, 3), (10_000, 3)]
)
def test_first_sentences_at_equal_length(characters: int, count: int) -> None:
    ends = {1: 37, 2: 55, 3: 79}
    assert lead(DOCUMENT, characters) == DOCUMENT[: ends[count]]


def test_a_document_without_a_sentence_has_no_lead() -> None:
    assert lead(" ... ", 10) == ""
