"""People's marks, as they are read and found."""

from pathlib import Path
from typing import Any

import pytest

from prism_cli.evaluation.quality.gold_rows import Gold, GoldRows
from prism_cli.rows.row import text_id
from tests.factories import write_jsonl
from tests.mini import MINI


def gold(*rows: Any) -> GoldRows:
    return GoldRows([str(write_jsonl(Path("gold.jsonl"), rows))])


def test_marks_of_a_pair_go_before_those_of_its_query_each_field_on_its_own() -> None:
    found = gold(
        {"query_id": "q", "answers": ["one", "two"]},
        {"query_id": "q", "doc_id": "d", "rationales": ["A sentence."], "answerable": True},
        {"query_id": "other", "answers": ["three"]},
    )
    assert found.find("q", "d") == Gold(
        True, ("one", "two"), ("A sentence.",), False, True, rows=(2, 1)
    )
    assert found.find("q", "e") == Gold(None, ("one", "two"), rows=(1,))
    assert found.find("r", "d") is None
    assert found.figures.rows == 3


def test_the_query_id_goes_before_the_rows_own_id() -> None:
    found = gold(
        {"_id": "row1", "query_id": "q", "answers": ["one"]},
        {"_id": "p", "query_id": None, "answers": ["two"]},
        {"_id": "s", "answers": ["three"]},
    )
    assert found.find("row1", "d") is None
    marks = [found.find(name, "d") for name in "qps"]
    assert [one and one.answers for one in marks] == [("one",), ("two",), ("three",)]


def test_no_may_speak_of_all_documents_and_yes_of_one_goes_before_it() -> None:
    found = gold(
        {"query_id": "q", "answerable": False, "answers": ["plausible"]},
        {"query_id": "q", "doc_id": "d", "answers": ["one"]},
    )
    assert found.find("q", "e") == Gold(False, rows=(1,))
    known = found.find("q", "d")
    assert known is not None
    assert (known.answerable, known.answers, known.answers_here) == (True, ("one",), True)


def test_rows_of_one_pair_are_put_together_unless_they_contradict() -> None:
    found = gold(
        {"query_id": "q", "doc_id": "d", "rationales": ["One."]},
        {"query_id": "q", "doc_id": "d", "rationales": ["Two.", "One."]},
        {"query_id": "p", "answerable": True},
        {"query_id": "p", "answerable": False},
    )
    together = found.find("q", "d")
    assert together is not None
    assert together.rationales == ("One.", "Two.")
    assert found.find("p", "d") is None
    assert (found.figures.repeated, found.figures.contradictory) == (2, 2)
    assert found.figures.contradiction == "p"


def test_files_beside_a_beir_folder_are_read_as_they_lie() -> None:
    found = GoldRows([str(MINI / "answers.jsonl"), str(MINI / "impossible.jsonl")])
    assert found.figures.unreadable == 0
    assert found.figures.rows == sum(
        len((MINI / name).read_text().splitlines())
        for name in ("answers.jsonl", "impossible.jsonl")
    )


def test_a_query_may_stand_for_its_id() -> None:
    found = gold({"query": "how big", "answers": ["big"]})
    assert found.find(text_id("how big"), "d") is not None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"answers": ["x"]}, "query_id: expected a string, found no such field"),
        ({"query_id": "q"}, "neither answers nor rationales nor answerable"),
        ({"query_id": "q", "answers": "x"}, "answers: expected an array of strings"),
        ({"query_id": "q", "rationales": ["x", 1]}, "rationales[1]: expected a string"),
        ({"query_id": "q", "answerable": "no"}, "answerable: expected true or false"),
        ({"query_id": 1.5, "answers": ["x"]}, "query_id: expected a string, found number 1.5"),
        ([], "expected a JSON object"),
    ],
)
def test_lines_that_are_no_marks_are_passed_over_and_told(row: Any, told: str) -> None:
    figures = gold({"query_id": "q", "answers": ["x"]}, row).figures
    assert (figures.rows, figures.unreadable) == (1, 1)
    assert figures.unread.startswith("gold.jsonl:2: ")
    assert told in figures.unread
