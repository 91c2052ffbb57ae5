"""A tiny random model with SmolLM2's tokenizer, and rows that it can learn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import load_encoder
from tests.training.runs import Toy, make_toy


@pytest.fixture(scope="session")
def tiny_model(
    tmp_path_factory: pytest.TempPathFactory, smollm2_tokenizer: Callable[[], Any]
) -> Path:
    """A model directory: Llama of 2 layers, hidden 32, random weights."""
    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = smollm2_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder(tiny_model: Path) -> PromptEncoder:
    return load_encoder(str(tiny_model), max_tokens=256)


@pytest.fixture
def toy(tmp_path: Path, tiny_model: Path) -> Toy:
    """Rows, settings and a run directory."""
    return make_toy(tmp_path, tiny_model)
