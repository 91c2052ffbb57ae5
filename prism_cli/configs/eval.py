"""Settings of `prism eval`."""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval, Len

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import (
    Attention,
    BatchTokens,
    Bm25MemoryGb,
    Device,
    Dtype,
    Fuse,
    LongDocuments,
    MaxTokens,
    Profile,
    WindowTokens,
    as_list,
)
from prism_cli.domain.defaults import MAX_TOKENS

RELEASED_MODEL = "hf:infgrad/Prism-Qwen3.5-Reranker-2B"
NO_MODEL = "none"


@dataclass(frozen=True, kw_only=True)
class EvalConfig(StageConfig):
    """Models, data and limits of a ranking evaluation."""

    model: Annotated[
        list[str],
        BeforeValidation(as_list),
        Len(1),
        Option(
            "Model to measure; repeatable. `none`: the first stage alone.",
            default="the model in prism.toml, else the released 2B",
        ),
    ] = field(default_factory=lambda: [RELEASED_MODEL])
    split: Annotated[str, Option("Split with judgements: qrels/SPLIT.tsv.")] = "test"
    first_stage: Annotated[
        str,
        Option(
            "bm25, st:minilm, st:PATH, st:HUB_ID, or a TREC run ({dataset}: the set's name), in "
            "trec_eval's order: by score, ties by descending document id."
        ),
    ] = "bm25"
    top_k: Annotated[
        int,
        Interval(ge=1, le=10_000),
        Option("Candidates per query.", default="100; --qrels: all"),
    ] = 100
    fuse: Annotated[
        Fuse,
        Option(
            "As rerank --fuse.",
            metavar="W|rrf",
            default="the model's own W",
            added=True,
        ),
    ] = None
    fit_fusion: Annotated[
        bool,
        Option("Fit W on queries that are left out of the figures.", added=True),
    ] = False
    fit_on: Annotated[
        str | None,
        Option(
            "Take them from here.",
            metavar="SPLIT|SHARE",
            default="dev, else 0.25",
            added=True,
        ),
    ] = None
    bm25_memory_gb: Bm25MemoryGb = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    attn: Attention = "auto"
    max_tokens: MaxTokens = MAX_TOKENS
    long_documents: LongDocuments = "window"
    window_tokens: WindowTokens = None
    batch_tokens: BatchTokens = None
    profile: Profile = None

    @property
    def models(self) -> list[str]:
        """Models in order, each once, without `none`."""
        return [name for name in dict.fromkeys(self.model) if name != NO_MODEL]
