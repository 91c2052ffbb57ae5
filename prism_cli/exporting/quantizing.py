"""Quantize weights with torchao through transformers; loading them needs torchao too."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from prism_cli.errors import MissingPackageError
from prism_cli.modeling.silence_warnings import silence_transformers

METHODS = {"int8": "weights of linear layers in 8 bits, a scale for each output row"}


def require_torchao() -> None:
    """Raise MissingPackageError if torchao is not installed."""
    if find_spec("torchao") is None:
        raise MissingPackageError("torchao", "quantize")


def quantize_folder(folder: Path, dtype: torch.dtype) -> None:
    """Quantize the weights of an exported folder; embeddings and head stay in `dtype`."""
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    plain = folder / "plain"
    plain.mkdir()
    settings = [folder / "config.json", folder / "generation_config.json"]
    for path in [*folder.glob("*.safetensors*"), *settings]:
        path.rename(plain / path.name)
    loader: Any = AutoModelForCausalLM
    with silence_transformers():
        model = loader.from_pretrained(
            plain, dtype=dtype, quantization_config=TorchAoConfig(Int8WeightOnlyConfig(version=2))
        )
        model.save_pretrained(folder)
    shutil.rmtree(plain)
