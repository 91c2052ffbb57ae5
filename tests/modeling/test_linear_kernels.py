"""Which tensors the installed kernels of linear attention are called for."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers.integrations.hub_kernels import use_kernel_func_from_hub_with_fallback
from transformers.models.qwen3_5 import modeling_qwen3_5

from prism_cli.modeling.linear_kernels import compute_elsewhere_in_torch, kernels_missing
from prism_cli.modeling.loading import load_model
from tests.benchmarks.gpu_models import config_of, save_model

CALLERS = {
    "causal_conv1d_fn": ("causal_conv1d", "causal_conv1d_fn"),
    "causal_conv1d_update": ("causal_conv1d", "causal_conv1d_update"),
    "torch_chunk_gated_delta_rule": ("fla", "chunk_gated_delta_rule"),
    "torch_recurrent_gated_delta_rule": ("fla", "fused_recurrent_gated_delta_rule"),
}
"""Functions of transformers' layers, and the package and the name of the kernel of each."""


class KernelCalled(Exception):
    """Raised by each kernel."""


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    for known in (kernels_missing, compute_elsewhere_in_torch):
        known.cache_clear()
    yield
    for known in (kernels_missing, compute_elsewhere_in_torch):
        known.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, version: str = "0.6.0") -> None:
    """Let transformers find both packages, `fla` in this version."""

    def kernel(*_: Any, **__: Any) -> None:
        raise KernelCalled

    packages = {name: ModuleType(name) for name in ("fla", "causal_conv1d")}
    packages["fla"].__dict__["__version__"] = version
    for package, name in CALLERS.values():
        setattr(packages[package], name, kernel)
    packages["fla.ops.gated_delta_rule"] = packages["fla"]
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)
    for caller, (package, name) in CALLERS.items():
        in_torch = getattr(modeling_qwen3_5, caller).__wrapped__
        wrapped = use_kernel_func_from_hub_with_fallback(name, package)(in_torch)
        monkeypatch.setattr(modeling_qwen3_5, caller, wrapped)


def test_a_model_on_a_cpu_computes_in_torch_where_kernels_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = save_model(config_of("Qwen3.5-0.8B", tiny=True), tmp_path / "model")

    def logits() -> torch.Tensor:
        """Read five tokens, then one more from the cache."""
        model: Any = load_model(spec, device="cpu", dtype="float32").model
        with torch.inference_mode():
            first = model(torch.tensor([[5, 6, 7, 8, 9]]), use_cache=True)
            then = model(torch.tensor([[4]]), past_key_values=first.past_key_values)
        return torch.cat([first.logits, then.logits], dim=1)

    expected = logits()
    install(monkeypatch)
    compute_elsewhere_in_torch.cache_clear()
    assert torch.equal(logits(), expected)


@pytest.mark.parametrize(("version", "called"), [("0.4.2", False), ("0.5.0", True)])
def test_kernels_that_cannot_group_value_heads_are_never_called(
    version: str, called: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, version)
    compute_elsewhere_in_torch(modeling_qwen3_5)
    assert kernels_missing() == (() if called else ("flash-linear-attention",))
    heads, gates = torch.empty(1, 3, 2, 8, device="meta"), torch.empty(1, 3, 4, device="meta")
    values = torch.empty(1, 3, 4, 8, device="meta")  # two for each head of queries and keys
    for name in ("torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule"):
        rule = getattr(modeling_qwen3_5, name)
        if called:
            with pytest.raises(KernelCalled):
                rule(heads, heads, values, g=gates, beta=gates)
        else:
            assert rule(heads, heads, values, g=gates, beta=gates)[0].shape == values.shape
    with pytest.raises(KernelCalled):
        modeling_qwen3_5.causal_conv1d_fn(heads)


def test_a_package_whose_import_fails_in_any_way_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    monkeypatch.delitem(sys.modules, "causal_conv1d")
    (tmp_path / "causal_conv1d.py").write_text("raise AttributeError('make_tensor_descriptor')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert kernels_missing() == ("causal-conv1d",)
