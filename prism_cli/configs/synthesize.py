"""Settings of `prism collect synthesize`."""

from typing import Literal

from pydantic import Field

from prism_cli.configs.base import StageConfig


class SynthesizeConfig(StageConfig):
    """Who writes queries, how many, and which are there already."""

    generator: str = Field(
        min_length=1,
        description="Who writes the queries: provider/model, or a chat model in this process: "
        "hf:smollm2, hf:PATH, hf:HUB_ID.",
    )
    per_instruction: int = Field(
        20, ge=1, le=500, description="Queries wanted for each instruction, from 1 to 500."
    )
    styles: tuple[Literal["question", "keyword", "situation"], ...] = Field(
        ("question", "keyword", "situation"),
        min_length=1,
        description="How queries are worded, an equal share each: question, keyword, situation.",
    )
    against: tuple[str, ...] = Field(
        (),
        description="Rows with queries, or BEIR folders, whose queries shall not come once more.",
    )
    device: str = Field(
        "auto",
        min_length=1,
        description="Where a local model computes: auto (CUDA if there), cpu, cuda, cuda:1.",
    )
