"""Frozen 4-bit weights: adapters are trained on them in a quarter of the memory."""

from importlib.util import find_spec
from typing import Any

import torch

from prism_cli.errors import MissingPackageError


def require_bitsandbytes() -> None:
    """Raise if bitsandbytes is not installed.

    Raises:
        MissingPackageError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingPackageError("bitsandbytes", "train4bit")


def nf4_options(dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Return options of from_pretrained: NF4 with quantized scales, products in `dtype`.

    Source: QLoRA, arXiv 2305.14314.

    Raises:
        MissingPackageError: bitsandbytes is not installed.
    """
    require_bitsandbytes()
    from transformers import BitsAndBytesConfig

    settings: Any = BitsAndBytesConfig  # untyped
    quantization = settings(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": quantization, "device_map": {"": device}}
