"""Random models of three shapes, and a real tokenizer cut down to their size."""

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    Qwen3_5TextConfig,
    Qwen3Config,
)

SHAPES = ("llama", "qwen3", "qwen3_5")
VOCABULARY = 300


def tiny_model(shape: str, vocabulary: int = VOCABULARY) -> PreTrainedModel:
    """Four layers of random weights; three of the four are linear in Qwen3.5."""
    torch.manual_seed(7)
    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "initializer_range": 0.1,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    configs = {
        "llama": lambda: LlamaConfig(**common),
        "qwen3": lambda: Qwen3Config(**common),
        "qwen3_5": lambda: Qwen3_5TextConfig(
            **common,
            linear_num_key_heads=2,
            linear_num_value_heads=4,
            linear_key_head_dim=16,
            linear_value_head_dim=16,
            layer_types=["linear_attention"] * 3 + ["full_attention"],
        ),
    }
    model: PreTrainedModel = AutoModelForCausalLM.from_config(configs[shape]())
    return model.eval()
