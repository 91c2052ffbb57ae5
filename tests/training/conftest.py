"""A tiny random model with a part of SmolLM2's tokenizer, and rows that it can learn."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import load_encoder
from prism_cli.training import journal
from tests.training.runs import ONE_PANEL, Toy, make_toy


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, small_tokenizer: Path) -> Path:
    """A model directory: Llama of 2 layers, hidden 32, random weights."""
    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = AutoTokenizer.from_pretrained(small_tokenizer)
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
def toy(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Rows, settings and a run directory, whose charts have one panel."""
    for name, panels in ONE_PANEL.items():
        monkeypatch.setattr(journal, name, panels)
    return make_toy(tmp_path, tiny_model)
