"""Kernels of linear attention (Qwen3.5), which transformers uses where they are installed.

Elsewhere transformers computes the same in torch: slower, and without a way to keep the rows of a
packed sequence apart.
"""

import importlib
import sys
from functools import cache, wraps
from inspect import unwrap
from types import ModuleType
from typing import Any

from packaging.version import Version

PACKAGES = {"fla.ops.gated_delta_rule": "flash-linear-attention", "causal_conv1d": "causal-conv1d"}
"""Modules that are imported, and the packages that they are part of (extra `gpu`)."""
_UNIMPORTABLE = (
    ImportError, OSError, RuntimeError, AttributeError, TypeError, ValueError, LookupError,
    NameError, AssertionError,
)  # fmt: skip
"""Errors of an import: no package, no library of CUDA, no GPU, a triton or torch of other names."""
_CONVOLUTIONS = ("causal_conv1d_fn", "causal_conv1d_update")
_RULES = ("torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule")
"""Functions of transformers' linear layers, each of which calls an installed kernel."""


@cache
def kernels_missing() -> tuple[str, ...]:
    """Return the packages that are not installed, cannot be imported or are too old."""
    missing = []
    for module, package in PACKAGES.items():
        try:
            importlib.import_module(module)
        except _UNIMPORTABLE:
            missing.append(package)
    if _fla_is_old() and "flash-linear-attention" not in missing:
        missing.append("flash-linear-attention")
    return tuple(missing)


def _fla_is_old() -> bool:
    """Return True if the `fla` imported ignores that several value heads can share a key head."""
    fla = sys.modules.get("fla")
    return fla is not None and Version(getattr(fla, "__version__", "0")) < Version("0.5")


@cache
def compute_elsewhere_in_torch(module: ModuleType) -> None:
    """Keep linear layers from kernels that cannot compute them: on a CPU, or too old.

    transformers calls each kernel that is installed, on any device.

    Args:
        module: transformers' code of a model, which is changed; without linear layers, it is not.
    """
    for name in (*_CONVOLUTIONS, *_RULES):
        if hasattr(module, name):
            never = name in _RULES and _fla_is_old()
            setattr(module, name, _on_gpus(getattr(module, name), never))


def _on_gpus(kernel: Any, never: bool) -> Any:
    """Return a function that calls `kernel` for tensors on a GPU, else what transformers wrapped.

    Args:
        never: call it for no tensor.
    """
    in_torch = unwrap(kernel)

    @wraps(in_torch)
    def chosen(hidden: Any, *more: Any, **options: Any) -> Any:
        function = in_torch if never or hidden.is_cpu else kernel
        return function(hidden, *more, **options)

    return chosen


def keeps_rows_apart(causal: Any) -> bool:
    """Return True if each linear layer of a causal LM can take several rows as one sequence.

    These are Qwen3.5's layers, on CUDA and with the kernels.
    """
    config = causal.config
    if getattr(config, "model_type", "") != "qwen3_5_text":
        return False
    return next(causal.parameters()).device.type == "cuda" and not kernels_missing()
