"""Choice of the forward pass of a model."""

from typing import Any

from transformers import PreTrainedModel

from prism_cli.modeling.dense_pass import DensePass, is_dense
from prism_cli.modeling.hybrid_pass import HybridPass

ForwardPass = DensePass | HybridPass


def forward_pass(model: PreTrainedModel) -> ForwardPass:
    """Return a DensePass if it supports the model's config, else a HybridPass.

    Args:
        model: a causal model in eval mode.

    Raises:
        ModelError: neither supports the model's layers.
    """
    causal: Any = model
    return DensePass(model) if is_dense(causal.get_decoder().config) else HybridPass(model)
