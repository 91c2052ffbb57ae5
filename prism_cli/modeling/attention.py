"""Attention implementations: `--attn`."""

import importlib.util

import torch

from prism_cli.errors import ModelError
from prism_cli.modeling.varlen_attention import VARLEN, varlen_fault

ATTENTIONS = ("auto", "sdpa", "eager", VARLEN, "flash_attention_2")
"""auto is sdpa: torch's fused kernels. eager: separate products and softmax, for comparison.
varlen: torch's flash kernels over rows without padding."""
_INSTALL = "pip install flash-attn --no-build-isolation"


def attention_suffix(name: str) -> str:
    """Return the fingerprint suffix of attention `name`; "" for the default one."""
    return "" if name in ("auto", "sdpa") else f" {name}"


def check_attention(name: str, device: torch.device, dtype: torch.dtype) -> None:
    """Raise if attention `name` cannot run, before weights are read.

    Args:
        name: one of ATTENTIONS.

    Raises:
        ModelError: an unknown name; or varlen or flash_attention_2 on a device or in a dtype
            without kernels, with another torch, or without its package.
    """
    if name not in ATTENTIONS:
        raise ModelError(f"--attn {name}: expected one of {', '.join(ATTENTIONS)}")
    if name not in (VARLEN, "flash_attention_2"):
        return
    if device.type != "cuda":
        raise ModelError(
            f"--attn {name}: expected a CUDA device, found {device.type}; --attn sdpa runs "
            "everywhere"
        )
    if dtype not in (torch.float16, torch.bfloat16):
        raise ModelError(
            f"--attn {name}: expected --dtype bfloat16 or float16, found "
            f"{str(dtype).removeprefix('torch.')}; --attn sdpa takes every type"
        )
    if name == VARLEN:
        if fault := varlen_fault(device):
            raise ModelError(f"--attn {name}: {fault}; --attn sdpa runs everywhere")
    elif importlib.util.find_spec("flash_attn") is None:
        raise ModelError(
            f"--attn {name}: the package flash-attn is not installed: {_INSTALL}; or --attn sdpa"
        )
