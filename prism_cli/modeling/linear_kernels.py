"""Kernels of linear attention (Qwen3.5), which transformers uses where they are installed.

Elsewhere transformers computes the same in torch: slower, and without a way to keep the rows of a
packed sequence apart.
"""

import importlib
from functools import cache
from typing import Any

PACKAGES = {"fla.ops.gated_delta_rule": "flash-linear-attention", "causal_conv1d": "causal-conv1d"}
"""Modules that are imported, and the packages that they are part of (extra `gpu`)."""


@cache
def kernels_missing() -> tuple[str, ...]:
    """Return the packages that are not installed or cannot be imported."""
    missing = []
    for module, package in PACKAGES.items():
        try:
            importlib.import_module(module)
        except (ImportError, OSError, RuntimeError):  # no CUDA library, no GPU, no such package
            missing.append(package)
    return tuple(missing)


def keeps_rows_apart(causal: Any) -> bool:
    """Return True if each linear layer of a causal LM can take several rows as one sequence.

    These are Qwen3.5's layers, on CUDA and with the kernels.
    """
    config = causal.config
    if getattr(config, "model_type", "") != "qwen3_5_text":
        return False
    return next(causal.parameters()).device.type == "cuda" and not kernels_missing()
