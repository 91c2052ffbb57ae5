"""Estimate of a training run's memory, from the model's config and the longest pass; reads no
weights."""

import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from prism_cli.configs.train import TrainConfig
from prism_cli.errors import ModelError
from prism_cli.modeling.dense_pass import is_dense
from prism_cli.modeling.lora import add_lora, train_all
from prism_cli.modeling.losses import HEAD_POSITIONS
from prism_cli.modeling.model_folder import ModelFolder
from prism_cli.modeling.packed_rows import LONG

_LAYER = re.compile(r"\blayers\.([0-9]+)\.")
_PROCESS_BYTES = 800 << 20
_NF4_BYTES = 0.52


@dataclass(frozen=True)
class LargestPass:
    """Upper bounds on one pass through the model.

    Attributes:
        tokens, target_tokens: tokens of all its rows.
        longest: tokens of a row.
    """

    tokens: int
    target_tokens: int
    longest: int


def memory_estimate(
    config: TrainConfig, base_model: ModelFolder, largest: LargestPass, device: str
) -> dict[str, int]:
    """Return the peak bytes of one process by use; `all` is their sum.

    b is 2 in bfloat16 and 4 in float32; T the tokens of the largest pass, H its target tokens, at
    most HEAD_POSITIONS; V the vocabulary size; L the layers that are trained, or above a trained
    one.

    weights: b per frozen weight, .52 in 4 bits; 4 per weight that full fine-tuning trains.
    adapters: 4 per weight, magnitudes of DoRA included.
    gradients: 8 per trained weight (float64 sums); optimizer: 8 (AdamW's two moments).
    activations: a layer keeps T x K x (inputs + outputs of its linear layers), K = 6 in float32,
        4.5 in bfloat16, 4 and 3 where `lean_products` computes frozen layers; 1.5 times that with
        linear attention (its state by chunks).
        DoRA adds T x 2b per linear output and 4 per weight of each adapted layer (the sum of weight
        and update). In bfloat16 on a CPU, attention keeps its matrix: T x longest x heads x 2, for
        rows up to packed_rows.LONG. All of this for each of L layers; with gradient checkpointing
        for one layer, plus T x b x hidden for each.
    head: H x V x (8 + 2b): logits, their float32 copy, its softmax, and gradients.
    process: 800 MiB on a CPU, for the libraries; 0 on a GPU, where only GPU memory counts.

    Source: tensors that autograd keeps, for layers of Llama and Qwen3.5; compared with measured
    peaks by tests/benchmarks/train_memory.py.

    Raises:
        ModelError: no causal language model, or without the layers that adapters need.
    """
    path = base_model.base.path
    causal: Any = AutoModelForCausalLM  # untyped
    try:
        with torch.device("meta"):
            base = causal.from_config(AutoConfig.from_pretrained(path, trust_remote_code=False))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model {config.model}: no causal language model: {error}") from error
    layers = _decoder_layers(base)
    full = config.method == "full"
    with torch.device("meta"):
        model = train_all(base) if full else add_lora(base, **asdict(config.lora))
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    frozen = sum(weight.numel() for weight in model.parameters() if not weight.requires_grad)
    width = 2 if config.dtype == "bfloat16" else 4
    weights = 4 * trained if full else width * frozen
    if config.quantize_base:
        size = sum(linear.inputs * linear.outputs for layer in layers for linear in layer.linears)
        weights += int((_NF4_BYTES - width) * size)
    vocabulary = base.get_output_embeddings().weight.shape[0]
    uses = {
        "weights": weights,
        "adapters": 0 if full else 4 * trained,
        "gradients": 8 * trained,
        "optimizer": 8 * trained,
        "activations": _activations(layers, base.config, config, largest, device),
        "head": min(largest.target_tokens, HEAD_POSITIONS) * vocabulary * (8 + 2 * width),
        "process": _PROCESS_BYTES if device == "cpu" else 0,
    }
    return {**uses, "all": sum(uses.values())}


class _Linear(NamedTuple):
    name: str
    inputs: int
    outputs: int


@dataclass
class _Layer:
    has_state: bool
    linears: list[_Linear]


def _decoder_layers(base: Any) -> list[_Layer]:
    kinds = getattr(base.config, "layer_types", None) or [""] * base.config.num_hidden_layers
    layers = [_Layer(kind == "linear_attention", []) for kind in kinds]
    for name, module in base.named_modules():
        place = _LAYER.search(name)
        if place and isinstance(module, nn.Linear):
            shape = _Linear(name.rpartition(".")[2], module.in_features, module.out_features)
            layers[int(place[1])].linears.append(shape)
    return layers


def _activations(
    layers: list[_Layer], model: Any, config: TrainConfig, largest: LargestPass, device: str
) -> int:
    first, dora = 0, frozenset[str]()
    if config.method == "lora":
        first = config.lora.first_layer
        dora = frozenset(config.lora.target_modules if config.lora.use_dora else ())
    short, tokens = config.dtype == "bfloat16", largest.tokens
    lean = device == "cpu" and config.method == "lora" and is_dense(model)
    lean = lean and not (dora or config.lora.dropout or config.quantize_base)
    keys = min(largest.longest, LONG) if short and device == "cpu" else 0
    matrix = 2 * keys * model.num_attention_heads
    kept: list[float] = []
    for layer in layers[first:]:
        factor = (3.0 if lean else 4.5) if short else (4.0 if lean else 6.0)
        factor *= 1.5 if layer.has_state else 1.0
        widths = sum(linear.inputs + linear.outputs for linear in layer.linears)
        size = tokens * (factor * widths + matrix)
        for name, inputs, outputs in layer.linears:
            if name in dora:
                size += (4 if short else 8) * tokens * outputs + 4 * inputs * outputs
        kept.append(size)
    if config.gradient_checkpointing:
        return int(max(kept) + len(kept) * tokens * (2 if short else 4) * model.hidden_size)
    return int(sum(kept))
