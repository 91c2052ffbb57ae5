"""Supported architectures compute what transformers computes; all others are refused by name."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from prism_cli.adapters.runtimes.transformers_runtime import load_reranker
from prism_cli.errors import ModelError
from prism_cli.modeling.architectures import FULL_ATTENTION, LINEAR_ATTENTION
from prism_cli.modeling.forward_pass import forward_pass, require_reranker
from prism_cli.modeling.hybrid_pass import HybridPass
from prism_cli.modeling.loading import load_encoder
from tests.modeling.cut_tokenizer import VOCABULARY

TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "max_position_embeddings": 256,
    "sliding_window": None,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LINEAR = {"layer_types": ["linear_attention", "full_attention"]}
PREFIX, TAILS = list(range(5, 25)), [list(range(40, 53)), list(range(60, 67))]


def tiny_config(kind: str, vocabulary: int = 120, **more: Any) -> Any:
    return CONFIG_MAPPING[kind](**{"vocab_size": vocabulary} | TINY | more)


@pytest.mark.parametrize("kind", [*FULL_ATTENTION, *LINEAR_ATTENTION])
@torch.inference_mode()
def test_states_of_a_supported_architecture_are_those_of_transformers(kind: str) -> None:
    torch.manual_seed(3)
    config = tiny_config(kind, **(LINEAR if kind in LINEAR_ATTENTION else {}))
    model = AutoModelForCausalLM.from_config(config).eval()

    def plain(ids: list[int]) -> torch.Tensor:
        out: torch.Tensor = model.get_decoder()(torch.tensor([ids]), use_cache=False)[0][0, -1]
        return out

    for ours in {type(one): one for one in (HybridPass(model), forward_pass(model))}.values():
        (state,) = ours.prefill([PREFIX])
        together = [TAILS] if ours.padding_is_safe else [[tail] for tail in TAILS]
        for tails in together:
            hidden, batch = ours.extend([state] * len(tails), tails, keep=True)
            expected = torch.stack([plain(PREFIX + tail) for tail in tails])
            torch.testing.assert_close(hidden, expected, atol=1e-4, rtol=1e-4)
            assert batch is not None
            hidden = ours.step(batch, [[7]] * len(tails))
            expected = torch.stack([plain([*PREFIX, *tail, 7]) for tail in tails])
            torch.testing.assert_close(hidden, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("gpt2", {}, "type gpt2: this architecture is not supported; expected .* llama, .*qwen3"),
        ("minimax", {}, "type minimax: layers of kind linear_attention"),
        ("falcon_h1", {"lm_head_multiplier": 0.5}, "scaled or capped"),
        ("falcon_h1", {"lm_head_multiplier": 1.0}, "type falcon_h1: .*; expected one with full"),
        ("gemma2", {}, "scaled or capped"),
        ("gemma2", {"final_logit_softcapping": None}, "layers of kind sliding_attention"),
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, "layers of kind conv cannot"),
        ("jamba", {}, "type jamba: .*; expected one with full"),
        ("bart", {}, "type bart: this architecture is not supported"),
    ],
)
def test_other_architectures_are_refused_with_those_that_are_supported(
    tiny_reranker: Path, kind: str, settings: dict[str, Any], message: str
) -> None:
    encoder = load_encoder(str(tiny_reranker))
    with pytest.raises(ModelError, match=message):
        require_reranker(tiny_config(kind, VOCABULARY, **settings), encoder)


@pytest.mark.parametrize("kind", ["gpt2", "minimax"])
def test_a_model_of_another_architecture_is_refused_when_it_is_loaded(
    tiny_reranker: Path, tmp_path: Path, kind: str
) -> None:
    AutoModelForCausalLM.from_config(tiny_config(kind, VOCABULARY)).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_reranker / name, tmp_path)
    with pytest.raises(ModelError, match=f"model of type {kind}: "):
        load_reranker(str(tmp_path), device="cpu")
