"""The row's own label as a vote."""

from typing import Any

import pytest
from prism_cli.adapters.judges.providers import provider_of, refuse_paid_judges

from prism_cli.adapters.judges.source_label import SourceLabelJudge
from prism_cli.errors import PrerequisiteError, RowError
from prism_cli.stages.relabel import RowJudge


def test_label_at_the_grade_is_yes() -> None:
    judge = SourceLabelJudge("source:2", 2)
    assert isinstance(judge, RowJudge)
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


def test_only_known_providers_make_a_paid_spec() -> None:
    assert provider_of("openrouter/google/gemini-3-flash-preview") == "openrouter"
    assert provider_of("deepseek/") is None
    assert provider_of("elsewhere/model") is None
    assert provider_of("source") is None


def test_no_paid_judge_needs_nothing() -> None:
    refuse_paid_judges([])


def test_key_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-secret")
    with pytest.raises(PrerequisiteError) as caught:
        refuse_paid_judges(["deepseek/deepseek-chat", "bailian/qwen3.5-397b-a17b"])
    assert "sk-secret" not in str(caught.value)
    assert "DASHSCOPE_API_KEY for bailian/qwen3.5-397b-a17b" in str(caught.value)
    assert "DEEPSEEK_API_KEY" not in str(caught.value)
