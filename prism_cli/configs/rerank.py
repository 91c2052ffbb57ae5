"""Settings of `prism rerank`."""

from typing import Literal

from pydantic import Field

from prism_cli.configs.base import StageConfig
from prism_cli.configs.eval import RELEASED_MODEL


class RerankConfig(StageConfig):
    """What decides scores and texts."""

    model: str = Field(RELEASED_MODEL, min_length=1, description="Model spec.")
    evidence: bool = Field(True, description="Also write contribution and evidence for yes.")
    profile: str | None = Field(None, description="Prompt profile; default by the model.")
    max_tokens: int = Field(
        10_240, ge=32, description="Longest prompt, in tokens; longer documents are cut."
    )
    top_n: int | None = Field(None, ge=1, description="Documents of a query kept, the best.")
    evidence_top: int | None = Field(
        None, ge=1, description="Documents of a query, the best, that get evidence."
    )
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Score above which a document gets evidence; the verdict stays as it is.",
    )
    max_evidence_tokens: int | None = Field(
        None, ge=1, description="Tokens of all texts of a query together, best document first."
    )
    max_new_tokens: int = Field(512, ge=1, description="Longest text, in tokens.")
    dtype: Literal["auto", "fast", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number type; auto: float32 on CPU, bfloat16 on CUDA."
    )
    attn: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        "auto", description="Attention; auto: torch's fused kernels (sdpa)."
    )
    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="vllm: for a GPU that it has to itself (extra vllm)."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, …")
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Document tokens of a batch, padding included; default 2,048 on CPU, "
        "what memory takes on CUDA.",
    )
