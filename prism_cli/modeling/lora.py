"""What of a model is trained: adapters on some of its linear layers, or all of it."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from prism_cli.errors import ModelError


def add_lora(
    model: PreTrainedModel,
    r: int,
    alpha: int,
    dropout: float,
    target_modules: Sequence[str],
    first_layer: int = 0,
    use_dora: bool = False,
    use_rslora: bool = False,
) -> nn.Module:
    """`model`, frozen, with trainable float32 adapters (a peft model).

    In another type than float32 its passes have to run under autocast.

    Args:
        target_modules: last names of linear layers; those the model lacks are passed over, so
            that one recipe serves models with and without linear attention.
        first_layer: the lowest decoder layer that gets adapters, from 0.
        use_dora: train the magnitudes of the adapted weights too. Source: arXiv 2402.09353.
        use_rslora: scale by alpha / sqrt(r) instead of alpha / r. Source: arXiv 2312.03732.

    Raises:
        ModelError: the model has none of them, or not so many layers.
    """
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer

    depth: int = model.config.num_hidden_layers
    if first_layer >= depth:
        raise ModelError(
            f"lora.first_layer = {first_layer}: expected one of the model's {depth} layers, from 0"
        )

    present = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    chosen = [name for name in target_modules if name in present]
    if not chosen:
        raise ModelError(
            f"lora.target_modules: expected linear layers of the model, found none of "
            f"{', '.join(target_modules)}; it has {', '.join(sorted(present))}"
        )
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=chosen,
        layers_to_transform=list(range(first_layer, depth)) if first_layer else None,
        task_type="CAUSAL_LM",
        use_dora=use_dora,
        use_rslora=use_rslora,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks under a name of transformers 4
        adapted: nn.Module = get_peft_model(model, config)
    for module in adapted.modules():
        # Autocast takes a bfloat16 input as it is; peft would copy it to float32 and back first,
        # a fifth of a step's time on a CPU.
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
    return adapted


def train_all(model: PreTrainedModel) -> nn.Module:
    """`model` with all weights trainable, in float32: AdamW's small steps vanish in bfloat16."""
    module: nn.Module = model
    return module.requires_grad_(True).to(torch.float32)


def recompute_activations(model: PreTrainedModel) -> None:
    """Keep no activations inside layers (gradient checkpointing): less memory, more time."""
    causal: Any = model
    # transformers renamed it on the way through version 5.
    enable = getattr(causal, "activation_checkpointing_enable", None)
    (enable or causal.gradient_checkpointing_enable)({"use_reentrant": False})
    causal.enable_input_require_grads()
