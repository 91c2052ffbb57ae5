"""Settings of `prism collect synthesize`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval, Len

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import Device, as_list


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig(StageConfig):
    """Generator, number and styles of queries, and existing queries."""

    generator: Annotated[
        str,
        Option(
            "Generator of the queries: provider/model, or a chat model in this process: "
            "hf:smollm2, hf:PATH, hf:HUB_ID."
        ),
    ]
    per_instruction: Annotated[
        int, Interval(ge=1, le=500), Option("Queries for each instruction.")
    ] = 20
    styles: Annotated[
        tuple[Literal["question", "keyword", "situation"], ...],
        BeforeValidation(as_list),
        Len(1),
        Option(
            "How queries are worded: question, keyword or situation; repeatable, an equal share "
            "each.",
            names=("--style",),
        ),
    ] = ("question", "keyword", "situation")
    against: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Option(
            "Rows with queries, or a BEIR folder: queries that it has, or near-duplicates of "
            "them, are left out; repeatable."
        ),
    ] = ()
    device: Device = "auto"
