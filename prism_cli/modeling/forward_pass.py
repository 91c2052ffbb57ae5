"""Which of the two passes runs a model."""

from typing import Any

from transformers import PreTrainedModel

from prism_cli.modeling.dense_pass import DensePass, is_dense
from prism_cli.modeling.hybrid_pass import HybridPass

ForwardPass = DensePass | HybridPass


def forward_pass(model: PreTrainedModel) -> ForwardPass:
    """The lean pass where it computes what the model's config says, else the general one.

    Args:
        model: a causal model in eval mode.

    Raises:
        ModelError: neither can keep the state of its layers.
    """
    whole: Any = model
    return DensePass(model) if is_dense(whole.get_decoder().config) else HybridPass(model)
