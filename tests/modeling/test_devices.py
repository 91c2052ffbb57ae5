"""Passes on torch's meta device: no tensor stays on the CPU, and nothing waits for a value.

Meta tensors have no data: mixing them with tensors of the CPU fails, and so does reading one, which
on a GPU would wait for all kernels before it.
"""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.qwen3_5 import modeling_qwen3_5

from prism_cli.modeling import row_states
from prism_cli.modeling.dense_pass import DensePass
from prism_cli.modeling.hybrid_pass import HybridPass
from prism_cli.modeling.lora import recompute_activations, train_all
from prism_cli.modeling.losses import RowBatch, RowForward, TokenizedRow, step_loss
from prism_cli.modeling.varlen_attention import use_varlen
from tests.modeling.test_passes import PASSES, some
from tests.modeling.tiny import tiny_model

META = torch.device("meta")


def model_on_meta(shape: str, *, by_rows: bool) -> Any:
    model = tiny_model(shape)
    module: Any = model
    module.to(META)
    if by_rows:
        use_varlen(model)
    return model


@pytest.mark.parametrize("by_rows", [False, True], ids=["sdpa", "varlen"])
@pytest.mark.parametrize(("shape", "kind"), PASSES[1:])
@torch.inference_mode()
def test_scores_wait_for_nothing(
    shape: str, kind: type[DensePass] | type[HybridPass], by_rows: bool
) -> None:
    forward = kind(model_on_meta(shape, by_rows=by_rows))
    (shared_prefix,) = forward.prefill([some(3)])
    states = forward.prefill([some(2), some(4)], shared_prefix)
    tails = [some(9), some(20), some(600)]
    hidden, batch = forward.extend([states[0], states[1], states[1]], tails, keep=True)
    assert batch is not None
    assert {hidden.device.type, batch.positions.device.type} == {"meta"}
    with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        forward.step(batch, [[1], [2], [3]])  # a step reads how many columns it needs, once


@pytest.mark.parametrize("by_rows", [False, True], ids=["sdpa", "varlen"])
@pytest.mark.parametrize("shape", ["qwen3", "qwen3_5"])
def test_passes_of_training_wait_for_nothing(
    shape: str, by_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def any_rule(*heads: Tensor, **_: Any) -> tuple[Tensor, None]:
        return heads[2], None

    def any_convolution(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden

    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    monkeypatch.setattr(row_states, "keeps_rows_apart", lambda _: True)
    monkeypatch.setattr(modeling_qwen3_5, "torch_chunk_gated_delta_rule", any_rule)
    monkeypatch.setattr(modeling_qwen3_5, "causal_conv1d_fn", any_convolution)
    model = model_on_meta(shape, by_rows=by_rows)
    train_all(model)
    recompute_activations(model)
    forward = RowForward(model.train(), 3, 4)
    assert forward.packs
    prefix = some(5)
    rows = [
        TokenizedRow(prefix + some(length), [3, 8, 2] if length > 20 else [], 0.4, True, "a:1")
        for length in (4, 20, 22, 800)
    ]
    batch = RowBatch.of(rows, META)
    pointwise, sft = step_loss(*forward(batch), batch)
    loss: Any = (pointwise + sft).sum()
    loss.backward()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert len(gradients) > 20
    assert {gradient.device.type for gradient in gradients} == {"meta"}
