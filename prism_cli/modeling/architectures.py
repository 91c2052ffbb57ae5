"""The architectures that prism reads: types of models, and kinds of their layers."""

from typing import Any

from prism_cli.errors import ModelError

FULL_ATTENTION = (
    "apertus", "arcee", "bitnet", "ernie4_5", "ernie4_5_moe", "flex_olmo", "gemma", "glm", "glm4",
    "glm4_moe", "gpt_neox", "granite", "granitemoe", "helium", "hunyuan_v1_dense", "internlm3",
    "llama", "mistral", "mixtral", "nemotron", "olmo", "olmo2", "olmoe", "phi", "phi3",
    "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "stablelm", "starcoder2",
)  # fmt: skip
LINEAR_ATTENTION = ("qwen3_5_moe_text", "qwen3_5_text", "qwen3_next")
"""Model types whose scores and texts are known to be those of transformers (a test compares them).
Others may fail, or give wrong scores in silence: with a state or positions of their own."""


def layer_kinds(config: Any) -> list[str]:
    """Return the kind of each layer of a text model: full_attention or linear_attention.

    Raises:
        ModelError: the model is of another type, or has layers of another kind (sliding windows,
            convolutions).
    """
    kind, linear = config.model_type, config.model_type in LINEAR_ATTENTION
    window = getattr(config, "sliding_window", None)
    plain = ["sliding_attention" if window else "full_attention"] * config.num_hidden_layers
    kinds: list[str] = getattr(config, "layer_types", None) or plain
    known = {"full_attention", "linear_attention"} if linear else {"full_attention"}
    fault = ""
    if unknown := set(kinds) - known:
        fault = f"layers of kind {', '.join(sorted(unknown))} cannot share a prefix here"
    elif not linear and kind not in FULL_ATTENTION:
        fault = "this architecture is not supported"
    if fault:
        raise ModelError(
            f"model of type {kind}: {fault}; expected one with full attention in every layer "
            f"({', '.join(FULL_ATTENTION)}) or of Qwen3.5's kind ({', '.join(LINEAR_ATTENTION)})"
        )
    return kinds
