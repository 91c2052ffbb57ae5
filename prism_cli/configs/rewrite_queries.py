"""Settings of `prism rewrite-queries`."""

from pydantic import Field

from prism_cli.configs.base import StageConfig


class RewriteQueriesConfig(StageConfig):
    """Who rewrites, and how many queries."""

    generator: str = Field(
        min_length=1,
        description="Who writes the keywords: provider/model, a chat model in this process "
        "(hf:PATH, hf:HUB_ID), or extractive: the query's own words, by rules, without a model.",
    )
    fraction: float = Field(
        0.4, ge=0, le=1, description="Share of the queries, chosen by hash of seed and query."
    )
    ablation: bool = Field(
        False, description="Also write the untouched twin of each rewritten row, right after it."
    )
    inherit_labels: bool = Field(
        False,
        description="Rewritten rows keep scores, votes and texts that were made for the query "
        "before; such a row says labels_from: original.",
    )
    device: str = Field(
        "auto",
        min_length=1,
        description="Where a local model computes: auto (CUDA if there), cpu, cuda, cuda:1.",
    )
