"""Settings of `prism relabel`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from prism_cli.configs.base import StageConfig

PAPER_PANEL = (
    "deepseek/deepseek-chat",
    "bailian/qwen3.5-397b-a17b",
    "openrouter/google/gemini-3-flash-preview",
    "openrouter/anthropic/claude-haiku-4.5",
    "openrouter/openai/gpt-5.4-mini",
)
"""The paper's five judges in price order (arXiv 2604.23734)."""


class RelabelConfig(StageConfig):
    """Who judges."""

    judges: tuple[str, ...] = Field(
        PAPER_PANEL,
        min_length=1,
        description="The panel, cheapest first: provider/model; source (source:2: the row's own "
        "label, yes from grade 2); in this process hf:PATH, st:PATH, st:PATH:THRESHOLD.",
    )
    add_judges: tuple[str, ...] = Field(
        (), description="Judges that join the panel; rows keep the votes that they bring along."
    )
    vote: Literal["majority", "soft"] = Field(
        "majority",
        description="majority: more than half of the panel's size, stopped as soon as it is "
        "reached or out of reach. soft: all judges, by the mean of their probabilities.",
    )
    rubric: str | None = Field(
        None, min_length=1, description="A text file with another rubric for chat models."
    )
    pack_questions: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        1,
        description="Documents of a query that share a call to a decision endpoint; auto: as many "
        "as it takes. It changes the answers: tests/benchmarks/packed_decisions.py tells by how "
        "much.",
    )
    audit: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of rows on which every judge of a larger panel votes, by lot.",
    )

    @model_validator(mode="after")
    def _one_vote_each(self) -> Self:
        panel = (*self.judges, *self.add_judges)
        twice = sorted({one for one in panel if panel.count(one) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands twice; each judge has one vote")
        return self
