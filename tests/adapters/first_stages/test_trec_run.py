"""A run file as first stage."""

from contextlib import chdir
from pathlib import Path

import pytest

from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage, run_of
from prism_cli.errors import MissingDataError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "dense.trec"
    path.write_text("q1 Q0 a 1 0.5 t\n\nq1 Q0 b 2 0.9 t\nq2 Q0 c 1 1 t\nq1 Q0 c 3 0.9 t\n")
    return path


def test_candidates_are_ordered_by_score_not_by_rank(run: Path) -> None:
    stage = TrecRunFirstStage(run)
    assert stage.spec == "dense"
    hits = list(stage.search([("q1", ""), ("q3", "")], 2))
    assert hits == [[("c", 0.9), ("b", 0.9)], []]


def test_a_run_for_other_queries_is_refused(run: Path) -> None:
    with pytest.raises(MissingDataError, match=r"none of the 1 queries, such as 'z'"):
        list(TrecRunFirstStage(run).search([("z", "")], 2))


@pytest.mark.parametrize(
    ("line", "message"),
    [("q1 Q0 a 1 0.5 t", "'a' is repeated"), ("q1 a 0.5", "expected query Q0 document")],
)
def test_a_bad_line_is_reported_with_its_number(run: Path, line: str, message: str) -> None:
    run.write_text(run.read_text() + line + "\n")
    with pytest.raises(MissingDataError, match=rf"dense\.trec:6: {message}"):
        list(TrecRunFirstStage(run).search([("q1", "")], 2))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="expected bm25, st:MODEL or a TREC run file"):
        TrecRunFirstStage(tmp_path / "none")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("mine.trec", "mine"),
        ("mine/{dataset}.trec", "mine"),
        ("runs/{dataset}.bm25.trec", "bm25"),
        ("{dataset}/dense.trec", "dense"),
        ("{dataset}.trec", "run"),
    ],
)
def test_runs_of_several_sets_share_a_name(tmp_path: Path, pattern: str, name: str) -> None:
    path = tmp_path / pattern.replace("{dataset}", "nq")
    path.parent.mkdir(exist_ok=True)
    path.write_text("q Q0 d 1 1.0 x\n")
    with chdir(tmp_path):
        assert run_of(pattern, "nq").spec == name
