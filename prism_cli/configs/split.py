"""Settings of `prism split`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import as_list


@dataclass(frozen=True, kw_only=True)
class SplitConfig(StageConfig):
    """Size of dev, and the evaluation sets whose rows are dropped."""

    dev_queries: Annotated[
        int,
        Ge(0),
        Option(
            "Dev queries of each source: as many as there are groups for, of at most half of its "
            "queries.",
            default="250, limited by --dev-share",
        ),
    ] = 250
    dev_share: Annotated[
        float,
        Interval(gt=0, le=0.5),
        Option(
            "Largest share of a source's queries that dev takes, and at least one.",
            default="0.1; beside --dev-queries 0.5",
        ),
    ] = 0.1
    exclude_eval: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Option(
            "A BEIR folder; rows whose query or document is in it are dropped; repeatable.",
            metavar="BEIR_DIR",
        ),
    ] = ()
    eval_split: Annotated[str, Option("Split of those folders whose judgements count.")] = "test"
    eval_documents: Annotated[
        Literal["relevant", "corpus"],
        Option("Their documents that count: those judged relevant in that split, or all."),
    ] = "relevant"
