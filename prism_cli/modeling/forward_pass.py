"""Choice of the forward pass of a model, and the models that have one."""

from typing import Any

from transformers import PreTrainedModel

from prism_cli.errors import ModelError
from prism_cli.modeling.architectures import layer_kinds
from prism_cli.modeling.dense_pass import DensePass, is_dense
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.hybrid_pass import HybridPass

ForwardPass = DensePass | HybridPass

_BEHIND_HEAD = ("logits_scaling", "logit_scale", "lm_head_multiplier", "final_logit_softcapping")
"""Settings of models that scale or cap their logits; scores are read without that."""


def forward_pass(model: PreTrainedModel) -> ForwardPass:
    """Return a DensePass if it supports the model's config, else a HybridPass.

    Args:
        model: a causal model in eval mode.

    Raises:
        ModelError: neither supports the model's layers.
    """
    causal: Any = model
    return DensePass(model) if is_dense(causal.get_decoder().config) else HybridPass(model)


def require_reranker(config: Any, encoder: PromptEncoder) -> None:
    """Raise ModelError if a model of this config cannot be a reranker here.

    Its layers are not supported, its logits are not the plain product of states and head, or its
    embedding lacks tokens of the tokenizer.
    """
    text = config.get_text_config()
    if encoder.vocabulary > text.vocab_size:
        raise ModelError(
            f"model of type {text.model_type}: its tokenizer has {encoder.vocabulary} tokens, its "
            f"embedding {text.vocab_size}; copy the tokenizer files of that model beside it"
        )
    for name in _BEHIND_HEAD:
        if (value := getattr(text, name, None)) not in (None, 1):
            raise ModelError(
                f"model of type {text.model_type}: its logits are scaled or capped "
                f"({name} = {value}), and scores here are not; choose a model without that, such "
                "as a Qwen3 or SmolLM2"
            )
    if not is_dense(text):
        layer_kinds(text)
