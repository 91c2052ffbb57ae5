"""Trainable weights of a model: adapters on some of its linear layers, or all weights."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from prism_cli.errors import ModelError
from prism_cli.modeling.peft_folder import trainable_adapter


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
    """Return `model`, frozen, with trainable float32 adapters (a peft model).

    If its dtype is not float32, its passes must run under autocast.

    Args:
        target_modules: last names of linear layers; names that the model lacks are ignored, so
            that one recipe serves models with and without linear attention.
        first_layer: the lowest decoder layer that gets adapters, from 0.
        use_dora: also train the magnitudes of the adapted weights. Source: arXiv 2402.09353.
        use_rslora: scale by alpha / sqrt(r) instead of alpha / r. Source: arXiv 2312.03732.

    Raises:
        ModelError: the model has none of `target_modules`, or too few layers.
    """
    from peft import LoraConfig, get_peft_model

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
        warnings.simplefilter("ignore", FutureWarning)  # peft uses a name of transformers 4
        adapted: nn.Module = get_peft_model(model, config)
    return _reading_bfloat16(adapted)


def continue_lora(model: PreTrainedModel, folder: Path) -> nn.Module:
    """Return `model` as `add_lora` does, with the adapter of `folder` as it is: rank, layers,
    weights.

    Raises:
        ModelError: the adapter does not fit, or is of a kind that cannot be trained here.
    """
    return _reading_bfloat16(trainable_adapter(model, folder))


def _reading_bfloat16(adapted: nn.Module) -> nn.Module:
    """Let autocast convert inputs; peft would first convert them to float32 and back, which takes
    a fifth of a step's time on a CPU."""
    from peft.tuners.lora import LoraLayer

    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
    return adapted


def train_all(model: PreTrainedModel) -> nn.Module:
    """Make all weights trainable, in float32: AdamW's small steps vanish in bfloat16."""
    module: nn.Module = model
    return module.requires_grad_(True).to(torch.float32)


def recompute_activations(model: PreTrainedModel) -> None:
    """Enable gradient checkpointing: less memory, more time."""
    causal: Any = model
    # transformers renamed it within version 5.
    enable = getattr(causal, "activation_checkpointing_enable", None)
    (enable or causal.gradient_checkpointing_enable)({"use_reentrant": False})
    causal.enable_input_require_grads()
