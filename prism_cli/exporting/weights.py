"""Merged weights, in the type that they are exported in."""

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
from prism_cli.modeling.silence_warnings import silence_transformers

_STORED = {"F64": torch.float32, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def load_merged(spec: str, profile: str | None) -> LoadedModel:
    """The model in float32 on the CPU, an adapter merged: four bytes a parameter of memory, and
    one rounding at the end where two would be.

    Raises:
        ModelError: see `load_model`; or the weights are quantised already.
    """
    loaded = load_model(spec, device="cpu", dtype="float32", profile=profile)
    config: Any = loaded.model.config
    if getattr(config, "quantization_config", None) is not None:
        raise ModelError(
            f"model {spec}: its weights are quantised; expected those that it was made from. "
            "Export them, with --quantize where they should be small"
        )
    return loaded


def stored_types(base: Path) -> dict[str, torch.dtype]:
    """Tensor -> type, as the safetensors files of `base` have it.

    Raises:
        ModelError: a file cannot be read.
    """
    found: dict[str, torch.dtype] = {}
    for path in sorted(base.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                slices: Any = file
                for name in slices.keys():  # noqa: SIM118 (it is no dict)
                    kind = slices.get_slice(name).get_dtype()
                    found[name] = _STORED.get(kind, torch.bfloat16)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path}: cannot be read: {error}") from error
    return found


def main_type(dtype: str, base: Path) -> torch.dtype:
    """The type of most tensors of the export: `dtype`, or what most of the base is stored in.

    Raises:
        ModelError: no such type.
    """
    if dtype != "auto":
        return resolve_dtype(dtype, torch.device("cpu"))
    kinds = Counter(stored_types(base).values())
    return max(kinds, key=lambda kind: kinds[kind]) if kinds else torch.float32


def cast(model: PreTrainedModel, dtype: str, base: Path) -> None:
    """Round the weights in place, one tensor at a time; with "auto" each to the type that the base
    stores it in, for some layers of a bfloat16 model are float32 there."""
    main = main_type(dtype, base)
    stored = stored_types(base) if dtype == "auto" else {}
    for name, parameter in model.named_parameters():
        text = name.replace("model.", "model.language_model.", 1)  # inside a model that also sees
        parameter.data = parameter.data.to(stored.get(name, stored.get(text, main)))
    config: Any = model.config
    config.dtype = main


def weights_bytes(model: nn.Module) -> int:
    """What the weights take on the disk."""
    return sum(one.numel() * one.element_size() for one in model.parameters())


def save_model(model: PreTrainedModel, encoder: PromptEncoder, folder: Path) -> None:
    """Config, generation config and weights; texts end where a turn of the profile ends."""
    config: Any = model.config
    config.architectures = [type(model).__name__]
    if getattr(config, "mtp_num_hidden_layers", 0):
        config.mtp_num_hidden_layers = 0  # their weights are not loaded, so none are saved
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
