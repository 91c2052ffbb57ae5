"""The optional packages with GPU kernels, as `prism doctor` shows them."""

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

KERNELS = {
    "flash-linear-attention": "linear attention (Qwen3.5), from 0.5; without it: torch, slower",
    "causal-conv1d": "its convolution; without both, training rows of Qwen3.5 are padded",
}
"""Packages of the extra `gpu`, and what they are for."""


def has_gpu() -> bool:
    """Return True on a machine with the driver of an NVIDIA GPU."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def installed_kernels() -> dict[str, str | None]:
    """Return the version of each package; None for one that is not installed."""
    found: dict[str, str | None] = {}
    for package in KERNELS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
