"""Settings of `prism split`."""

from typing import Literal

from pydantic import Field

from prism_cli.configs.base import StageConfig


class SplitConfig(StageConfig):
    """How much of what goes to dev, and what goes nowhere."""

    dev_queries: int = Field(250, ge=0, description="Dev queries of each source, at the most.")
    dev_share: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Largest share of a source's queries that dev takes, though one at least.",
    )
    exclude_eval: tuple[str, ...] = Field(
        (), description="BEIR folders; a row whose query or document stands in one is dropped."
    )
    eval_split: str = Field(
        "test", min_length=1, description="Split of those folders whose judgements count."
    )
    eval_documents: Literal["relevant", "corpus"] = Field(
        "relevant",
        description="Their documents that count: those judged relevant in the split, or all.",
    )
