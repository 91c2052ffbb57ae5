"""Layers that get adapters, and weights that stay unchanged."""

import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from prism_cli.configs.base import validated
from prism_cli.configs.train import LINEAR_ATTENTION, LoraSection
from prism_cli.modeling.lora import add_lora, recompute_activations
from prism_cli.modeling.losses import RowBatch, RowForward, TokenizedRow, step_loss
from prism_cli.training.publish import save_weights
from tests.modeling.tiny import tiny_model

ROWS = [
    TokenizedRow([3, 4, 5, 6], [7, 8, 2], 0.9, True, "a:1"),
    TokenizedRow([3, 4, 9], [10, 2], 0.1, True, "a:2"),
]


def adapted(**settings: object) -> nn.Module:
    """Return Qwen3.5 with the default recipe's adapters, in training mode."""
    lora = validated(LoraSection, {"r": 4, "alpha": 8, **settings})
    return add_lora(tiny_model("qwen3_5"), **asdict(lora)).train()


def loss_of(model: nn.Module) -> torch.Tensor:
    forward = RowForward(model, 11, 12)
    batch = RowBatch.of(ROWS)
    return torch.stack(step_loss(*forward(batch), batch)).sum()


def step(model: nn.Module) -> None:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    loss_of(model).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("dora", [False, True])
def test_qwen35_learns_in_every_projection_and_nowhere_else(dora: bool) -> None:
    model = adapted(use_dora=dora)
    modules = dict(model.named_modules())
    linear = [name for name in modules if name.endswith("linear_attn")]
    assert len(linear) == 3
    for layer in linear:
        projections = {
            name.rpartition(".")[2]: module
            for name, module in modules.items()
            if name.rpartition(".")[0] == layer and "proj" in name
        }
        assert set(projections) == set(LINEAR_ATTENTION)
        assert all(hasattr(module, "lora_A") for module in projections.values())
    frozen = {
        name: weight.detach().clone()
        for name, weight in model.named_parameters()
        if not weight.requires_grad
    }
    for own in ("conv1d.weight", "A_log", "dt_bias"):
        assert sum(name.endswith(own) for name in frozen) == 3
    before = {
        name: weight.detach().clone()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }
    for _ in range(3):
        step(model)
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], weight) for name, weight in frozen.items())
    unchanged = [name for name, weight in before.items() if torch.equal(after[name], weight)]
    assert unchanged == []


@pytest.mark.parametrize("dora", [False, True])
def test_checkpointed_activations_give_the_same_gradients(dora: bool) -> None:
    gradients = []
    for recompute in (False, True):
        model = adapted(use_dora=dora)
        step(model)  # B is zero before it, and A has no gradient
        if recompute:
            recompute_activations(model.get_base_model())  # type: ignore[operator]
        loss_of(model).backward()  # type: ignore[no-untyped-call]
        gradients.append([weight.grad for weight in model.parameters() if weight.requires_grad])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-5, atol=1e-7)


def test_bfloat16_products_are_near_float32() -> None:
    exact = float(loss_of(adapted(use_dora=True)).detach())
    with torch.autocast("cpu", torch.bfloat16):
        short = float(loss_of(adapted(use_dora=True)).detach())
    assert short == pytest.approx(exact, rel=2e-2)


def test_adapters_read_bfloat16_without_conversion() -> None:
    model = adapted().to(torch.bfloat16)
    layers = [module for module in model.modules() if hasattr(module, "lora_A")]
    for layer in layers:
        layer.lora_A.float(), layer.lora_B.float()
    read: list[torch.dtype] = []
    for layer in layers:
        layer.lora_A["default"].register_forward_pre_hook(
            lambda _module, inputs: read.append(inputs[0].dtype)
        )
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model)
    loss.backward()  # type: ignore[no-untyped-call]
    assert set(read) == {torch.bfloat16}
    assert {layer.lora_B["default"].weight.grad.dtype for layer in layers} == {torch.float32}


def test_the_scale_of_updates() -> None:
    def scale(**settings: object) -> float:
        model = adapted(**settings)
        layers = [module for module in model.modules() if hasattr(module, "lora_A")]
        (scaling,) = {float(layer.scaling["default"]) for layer in layers}
        return scaling

    assert scale() == 8 / 4
    assert scale(use_rslora=True) == 8 / math.sqrt(4)


def test_dora_keeps_its_magnitudes_in_the_file(tmp_path: Path) -> None:
    model = adapted(use_dora=True)
    save_weights(model, tmp_path)
    names = load_file(tmp_path / "adapter_model.safetensors")
    assert sum("lora_magnitude_vector" in name for name in names) == sum(
        "lora_A" in name for name in names
    )
