"""Different specs of the same model."""

import pytest

from prism_cli.domain.model_names import model_name


@pytest.mark.parametrize(
    "spec",
    [
        "openai/gpt-5.4-mini", "openrouter/openai/gpt-5.4-mini", "lab/GPT-5.4-Mini:free",
        "azure/gpt-5-4-mini-2026-03-17", "openai/gpt-5.4-mini-latest", "hf:models/gpt-5.4-mini/",
        "hf:gpt-5.4-mini",
    ],
)  # fmt: skip
def test_specs_of_one_model_are_equal(spec: str) -> None:
    assert model_name(spec) == "gpt-5-4-mini"


def test_specs_of_different_models_differ() -> None:
    specs = ["openai/gpt-5.4", "openai/gpt-5.4-nano", "hf:smollm2", "st:minilm:0.9", "source:2"]
    assert len({model_name(spec) for spec in specs}) == 5
