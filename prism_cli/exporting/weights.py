"""Merged weights, in the number type of the export."""

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import GenerationConfig, PreTrainedModel

from prism_cli.errors import ModelError
from prism_cli.modeling.decoding import stop_ids
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import LoadedModel, load_model, resolve_dtype
from prism_cli.modeling.model_folder import ModelFolder
from prism_cli.modeling.silence_warnings import silence_transformers

_STORED = {"F64": torch.float32, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def load_merged(model: ModelFolder, profile: str | None) -> LoadedModel:
    """Load the model in float32 on the CPU, an adapter merged; weights are then rounded only once.

    Needs four bytes of memory per parameter.

    Raises:
        ModelError: see `load_model`; or the weights are already quantised.
    """
    loaded = load_model(model, device="cpu", dtype="float32", profile=profile)
    config: Any = loaded.model.config
    if getattr(config, "quantization_config", None) is not None:
        raise ModelError(
            f"model {model.spec}: its weights are quantised; expected those that it was made from. "
            "Export them, with --quantize where they should be small"
        )
    return loaded


def stored_types(base: Path) -> dict[str, torch.dtype]:
    """Return the type of each tensor in the safetensors files of `base`.

    Raises:
        ModelError: a file cannot be read.
    """
    types: dict[str, torch.dtype] = {}
    for path in sorted(base.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                slices: Any = file
                for name in slices.keys():  # noqa: SIM118 (not a dict)
                    kind = slices.get_slice(name).get_dtype()
                    types[name] = _STORED.get(kind, torch.bfloat16)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path}: cannot be read: {error}") from error
    return types


def main_type(dtype: str, base: Path) -> torch.dtype:
    """Return the type of most tensors of the export: `dtype`, or with "auto" that of the base.

    Raises:
        ModelError: no such type.
    """
    if dtype != "auto":
        return resolve_dtype(dtype, torch.device("cpu"))
    kinds = Counter(stored_types(base).values())
    return max(kinds, key=lambda kind: kinds[kind]) if kinds else torch.float32


def cast(model: PreTrainedModel, dtype: str, base: Path) -> None:
    """Round the weights in place, tensor by tensor; with "auto" each to its type in the base, where
    some layers of a bfloat16 model are float32."""
    main = main_type(dtype, base)
    stored = stored_types(base) if dtype == "auto" else {}
    for name, parameter in model.named_parameters():
        inner = name.replace("model.", "model.language_model.", 1)  # in a vision-language model
        parameter.data = parameter.data.to(stored.get(name, stored.get(inner, main)))
    config: Any = model.config
    config.dtype = main


def weights_bytes(model: nn.Module) -> int:
    """Return the size of the weights in bytes."""
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def save_model(model: PreTrainedModel, encoder: PromptEncoder, folder: Path) -> None:
    """Save config, generation config and weights; the stop tokens are those that end a turn."""
    config: Any = model.config
    config.architectures = [type(model).__name__]
    if getattr(config, "mtp_num_hidden_layers", 0):
        config.mtp_num_hidden_layers = 0  # their weights are not loaded
    stops = {encoder.eos_id, *stop_ids(model, encoder.tokenizer)}
    greedy: Any = GenerationConfig
    model.generation_config = greedy(
        bos_token_id=encoder.tokenizer.bos_token_id,
        eos_token_id=sorted(stops),
        pad_token_id=encoder.tokenizer.pad_token_id,
        do_sample=False,
    )
    with silence_transformers():
        model.save_pretrained(folder)
