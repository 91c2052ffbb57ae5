"""The row's own label as a vote."""

from typing import Any

import pytest

from prism_cli.domain.source_labels import SourceLabelJudge
from prism_cli.errors import RowError


def test_label_at_the_grade_is_yes() -> None:
    judge = SourceLabelJudge("source:2", 2)
    assert [judge.vote({"source_label": label}) for label in ("1", "2", "3")] == [
        "no",
        "yes",
        "yes",
    ]


@pytest.mark.parametrize("row", [{}, {"source_label": None}, {"source_label": ""}])
def test_row_without_a_label_is_an_abstention(row: dict[str, Any]) -> None:
    assert SourceLabelJudge("source", 1).vote(row) is None


def test_label_that_cannot_be_read_rejects_the_row() -> None:
    with pytest.raises(RowError, match="source_label: expected a grade, yes or no, found string"):
        SourceLabelJudge("source", 1).vote({"source_label": "perhaps"})
