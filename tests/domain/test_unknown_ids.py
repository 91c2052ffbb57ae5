"""Ids of a run that a data set lacks, with file and line."""

from pathlib import Path

import pytest

from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage
from prism_cli.domain.unknown_ids import check_listed_ids, unknown_ids_message
from prism_cli.errors import MissingDataError

QUERIES, DOCUMENTS = [("q1", "one"), ("q2", "two")], [("a",), ("b",), ("c",)]


def checked(*lines: str) -> tuple[dict[str, int], list[str]]:
    messages: list[str] = []
    path = Path("mine.trec")
    path.write_text("".join(f"{line} t\n" for line in lines))
    stage = TrecRunFirstStage(path)
    return check_listed_ids(
        stage, "set", lambda: QUERIES, lambda: DOCUMENTS, messages.append
    ), messages


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_matching_run_has_no_warning() -> None:
    result = checked("q1 Q0 a 1 2", "q2 Q0 b 1 1")
    assert result == ({"run_unknown_queries": 0, "run_unknown_documents": 0}, [])


def test_a_run_whose_scores_contradict_its_ranks_is_reported_once() -> None:
    _, messages = checked("q1 Q0 a 1 .1", "q1 Q0 b 2 .2", "q2 Q0 a 1 .3", "q2 Q0 b 2 .4")
    (line,) = messages
    assert line.startswith("mine.trec:2: the scores go against the ranks, here and in all queries")


def test_unknown_ids_are_counted_and_the_first_three_named_by_line() -> None:
    lines = [f"x{number} Q0 a 1 1" for number in range(4)]
    figures, messages = checked("q1 Q0 a 1 2", *lines, "q1 Q0 zz 2 1", "x9 Q0 elsewhere 1 1")
    assert figures == {"run_unknown_queries": 5, "run_unknown_documents": 1}
    queries, documents = messages
    assert queries == (
        "set: 5 of the 6 queries of mine.trec are not among its queries, such as mine.trec:2: "
        "'x0', mine.trec:3: 'x1', mine.trec:4: 'x2'; they are not measured"
    )
    assert "1 of the 2 documents of mine.trec" in documents
    assert "mine.trec:6: 'zz'" in documents


def test_a_run_of_another_set_is_refused() -> None:
    with pytest.raises(MissingDataError, match=r"none of the 1 queries .* mine\.trec:1: 'x1'"):
        checked("x1 Q0 a 1 1")
    with pytest.raises(MissingDataError, match=r"none of the 2 documents .* mine\.trec:1: 'x'"):
        checked("q1 Q0 x 1 1", "q2 Q0 y 1 1", "x9 Q0 a 1 1")


def test_an_index_is_not_checked() -> None:
    index = Bm25FirstStage(lambda: iter(()))
    assert check_listed_ids(index, "set", lambda: QUERIES, list, print) == {}


def test_unknown_judgements_are_counted_and_the_first_three_named() -> None:
    assert unknown_ids_message("set", "judged queries", ["a", "b", "c", "d"], "left out") == (
        "set: 4 judged queries, such as a, b, c; left out"
    )
