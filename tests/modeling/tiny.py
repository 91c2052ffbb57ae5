"""Tiny random models of the supported families."""

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5TextConfig,
    Qwen3Config,
)

SHAPES = ("llama", "qwen3", "qwen3_5")
VOCABULARY = 300
VISION = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": 48,
    "num_position_embeddings": 16,
    "patch_size": 4,
}


def tiny_model(
    shape: str, vocabulary: int = VOCABULARY, *, seed: int = 7, tied: bool = True, kv_heads: int = 2
) -> PreTrainedModel:
    """Return a model of four layers with random weights; in Qwen3.5 three of them are linear.

    Args:
        shape: one of SHAPES, or qwen3_5_vision, the conditional-generation class.
    """
    torch.manual_seed(seed)
    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": kv_heads,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "initializer_range": 0.1,
        "tie_word_embeddings": tied,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    linear: dict[str, Any] = {
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    }
    model: PreTrainedModel
    if shape == "qwen3_5_vision":
        config = Qwen3_5Config(
            text_config=common | linear, vision_config=VISION, tie_word_embeddings=tied
        )
        model = Qwen3_5ForConditionalGeneration(config)
    else:
        configs = {
            "llama": lambda: LlamaConfig(**common),
            "qwen3": lambda: Qwen3Config(**common),
            "qwen3_5": lambda: Qwen3_5TextConfig(**common, **linear),
        }
        model = AutoModelForCausalLM.from_config(configs[shape]())
    return model.eval()
