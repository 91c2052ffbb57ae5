"""Settings of `prism rewrite-queries`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from prism_cli.configs.base import Option, StageConfig
from prism_cli.configs.shared import Device


@dataclass(frozen=True, kw_only=True)
class RewriteQueriesConfig(StageConfig):
    """Generator, and the share of queries that it rewrites."""

    generator: Annotated[
        str,
        Option(
            "Generator of the keywords: provider/model, a chat model in this process (hf:PATH, "
            "hf:HUB_ID), or extractive: the query's own words, by rules, without a model."
        ),
    ]
    fraction: Annotated[
        float,
        Interval(ge=0, le=1),
        Option("Share of the queries, chosen by hash of seed and query."),
    ] = 0.4
    ablation: Annotated[
        bool, Option("Also write the unchanged twin of each rewritten row, right after it.")
    ] = False
    inherit_labels: Annotated[
        bool,
        Option(
            "Rewritten rows keep scores, votes and texts that were made for the original query, "
            "and say so (labels_from: original)."
        ),
    ] = False
    device: Device = "auto"
