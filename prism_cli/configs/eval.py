"""Settings of `prism eval`."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from prism_cli.configs.base import StageConfig

RELEASED_MODEL = "hf:infgrad/Prism-Qwen3.5-Reranker-2B"
NO_MODEL = "none"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class EvalConfig(StageConfig):
    """What is measured, and on what."""

    model: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        [RELEASED_MODEL],
        min_length=1,
        description="Model specs to compare; `none` for the first stage alone.",
    )
    split: str = Field("test", min_length=1, description="Split of the data sets: qrels/SPLIT.tsv.")
    first_stage: str = Field(
        "bm25",
        min_length=1,
        description="bm25, a sentence-transformers model (st:minilm, st:PATH, st:HUB_ID), or a "
        "TREC run file; {dataset} in its path stands for the set's name.",
    )
    top_k: int = Field(100, ge=1, le=10_000, description="Candidates a query, from 1 to 10000.")
    device: str = Field("auto", description="auto (CUDA where there is one), cpu, cuda, cuda:1, …")
    dtype: Literal["auto", "fast", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number type; auto: float32 on CPU, bfloat16 on CUDA."
    )
    attn: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        "auto", description="Attention; auto: torch's fused kernels (sdpa)."
    )
    max_tokens: int = Field(
        10_240, ge=32, description="Tokens of a prompt; longer documents are cut to fit."
    )
    batch_tokens: int | None = Field(
        None, ge=1, description="Document tokens of a batch; by default what suits the device."
    )
    profile: str | None = Field(
        None, description="Prompt profile, over what the model's directory says."
    )

    @property
    def models(self) -> list[str]:
        """The models in order, each once, without `none`."""
        return [one for one in dict.fromkeys(self.model) if one != NO_MODEL]
