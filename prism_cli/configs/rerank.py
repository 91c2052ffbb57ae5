"""Settings of `prism rerank`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from prism_cli.configs.base import Option, StageConfig
from prism_cli.configs.eval import RELEASED_MODEL
from prism_cli.configs.shared import (
    LOCAL_MODELS,
    Attention,
    BatchTokens,
    Device,
    Dtype,
    Fuse,
    LongDocuments,
    MaxTokens,
    Profile,
    WindowTokens,
)
from prism_cli.domain.defaults import MAX_NEW_TOKENS, MAX_TOKENS
from prism_cli.domain.scoring import BOUNDARY

EVIDENCE = "Contribution and evidence"


@dataclass(frozen=True, kw_only=True)
class RerankConfig(StageConfig):
    """Model, evidence and limits of reranking."""

    model: Annotated[
        str,
        Option(
            "hf:prism-tiny (small, bundled), PATH of a model or run, or a hub id.",
            default="the model in prism.toml, else the released 2B",
        ),
    ] = RELEASED_MODEL
    evidence: Annotated[
        bool,
        Option(
            "Contribution and evidence for yes; without, scores alone.",
            names=("--evidence/--no-evidence",),
        ),
    ] = True
    profile: Profile = None
    max_tokens: MaxTokens = MAX_TOKENS
    long_documents: LongDocuments = "window"
    window_tokens: WindowTokens = None
    top_n: Annotated[
        int | None,
        Ge(1),
        Option("Keep the best N documents of each query.", default="all; with --query 10"),
    ] = None
    fuse: Annotated[
        Fuse,
        Option(
            "Order by (1 - W) * reranker + W * source_score, each scaled to 0 to 1 over the query; "
            "rrf: by reciprocal ranks.",
            metavar="W|rrf",
            default="the model's own W for rows with source_score, else the reranker alone",
            added=True,
        ),
    ] = None
    evidence_top: Annotated[
        int | None,
        Ge(1),
        Option("Only for the best K documents of a query.", panel=EVIDENCE),
    ] = None
    threshold: Annotated[
        float,
        Interval(ge=0, le=1),
        Option(
            "Evidence above this score; below 0.5 also for documents judged no.",
            panel=EVIDENCE,
        ),
    ] = BOUNDARY
    max_evidence_tokens: Annotated[
        int | None,
        Ge(1),
        Option(
            "Tokens of all texts of a query (contribution and evidence), best document first.",
            default="no limit",
            panel=EVIDENCE,
        ),
    ] = None
    grounding: Annotated[
        Literal["repair", "report", "off"],
        Option(
            "Facts that neither document nor query has: replaced by the document's sentences, "
            "reported, or ignored.",
            panel=EVIDENCE,
            added=True,
        ),
    ] = "repair"
    evidence_from: Annotated[
        Literal["model", "selected", "extractive"] | None,
        Option(
            "The model's texts; the document's sentences that the model scores best; or those "
            "closest to the query, without the model.",
            default="the model's own, else model",
            panel=EVIDENCE,
            added=True,
        ),
    ] = None
    skip_repeats: Annotated[
        bool,
        Option(
            "Leave out evidence that says nothing beyond that of better documents of the query.",
            panel=EVIDENCE,
            added=True,
        ),
    ] = False
    max_new_tokens: Annotated[int, Ge(1), Option("Longest text, in tokens.", panel=EVIDENCE)] = (
        MAX_NEW_TOKENS
    )
    dtype: Dtype = "auto"
    attn: Attention = "auto"
    engine: Annotated[
        Literal["transformers", "vllm"],
        Option("vllm: needs a GPU of its own and the extra vllm.", panel=LOCAL_MODELS),
    ] = "transformers"
    device: Device = "auto"
    batch_tokens: BatchTokens = None
