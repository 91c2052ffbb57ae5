"""Tails without padding, long tails without masks, and prefixes behind a shared one, in float32."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from prism_cli.errors import ModelError
from prism_cli.modeling import packed_tails
from prism_cli.modeling.attention import check_attention
from prism_cli.modeling.dense_pass import DensePass
from prism_cli.modeling.hybrid_pass import HybridPass
from tests.modeling.test_passes import FLOAT32, PASSES, PREFIXES, TOLERANCE, plain, some
from tests.modeling.test_passes import ROWS as UNLIKE
from tests.modeling.tiny import tiny_model

# Rows of similar length, which attend together, behind prefixes of other lengths; and others.
ROWS = [*UNLIKE, *((q, some(length)) for q, length in ((2, 28), (0, 30), (1, 30), (0, 27)))]
TEXTS = [PREFIXES[q] + tail for q, tail in ROWS]


def close(actual: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("shape", "kind"), PASSES)
@torch.inference_mode()
def test_prefixes_behind_a_shared_prefix_equal_whole_ones(
    shape: str, kind: type[DensePass] | type[HybridPass]
) -> None:
    model = tiny_model(shape)
    forward = kind(model)
    shared_prefix = some(9)
    (before,) = forward.prefill([shared_prefix])
    states = forward.prefill(PREFIXES, before)
    assert [state.length for state in states] == [9 + len(ids) for ids in PREFIXES]
    hidden, _ = forward.extend([states[q] for q, _ in ROWS], [t for _, t in ROWS], keep=False)
    close(hidden, plain(model, [shared_prefix + text for text in TEXTS]), FLOAT32[shape])


@pytest.mark.parametrize("long", [1, 7, 29, 512])
@torch.inference_mode()
def test_long_and_short_tails_equal_whole_prompts(
    monkeypatch: pytest.MonkeyPatch, long: int
) -> None:
    monkeypatch.setattr(packed_tails, "_LONG", long)
    model = tiny_model("llama")
    forward = DensePass(model)
    states = forward.prefill(PREFIXES)
    hidden, batch = forward.extend([states[q] for q, _ in ROWS], [t for _, t in ROWS], keep=True)
    close(hidden, plain(model, TEXTS))
    same, _ = forward.extend([states[0]] * 2, [ROWS[1][1], ROWS[5][1]], keep=False)
    close(same, plain(model, [PREFIXES[0] + ROWS[1][1], PREFIXES[0] + ROWS[5][1]]))
    assert batch is not None
    tokens = some(len(ROWS))
    after = forward.step(batch, [[token] for token in tokens])
    close(after, plain(model, [[*t, token] for t, token in zip(TEXTS, tokens, strict=True)]))


@pytest.mark.parametrize(("long", "masks"), [(8, 2), (512, 8)], ids=["long", "short"])
@torch.inference_mode()
def test_attention_by_kernels_as_cudas(
    monkeypatch: pytest.MonkeyPatch, long: int, masks: int
) -> None:
    """CUDA kernels return another memory order and read masks in units of 16 bytes."""
    monkeypatch.setattr(packed_tails, "_LONG", long)
    masks_used: list[Tensor] = []

    def kernel(*heads: Tensor, attn_mask: Tensor | None = None, **more: Any) -> Tensor:
        masks_used.extend([] if attn_mask is None else [attn_mask])
        out = functional.scaled_dot_product_attention(*heads, attn_mask=attn_mask, **more)
        return out.transpose(1, 2).contiguous().transpose(1, 2)

    class Functional:
        scaled_dot_product_attention = staticmethod(kernel)
        pad = staticmethod(functional.pad)

    monkeypatch.setattr(packed_tails, "functional", Functional)
    model = tiny_model("llama")
    forward = DensePass(model)
    (state,) = forward.prefill([PREFIXES[0]])
    tails = [some(length) for length in (27, 28, 30)]
    hidden, _ = forward.extend([state] * 3, tails, keep=False)
    close(hidden, plain(model, [PREFIXES[0] + tail for tail in tails]))
    # In each of two passes: of the last tokens alone, or of each of four layers.
    assert len(masks_used) == masks
    assert [mask.storage_offset() % 8 for mask in masks_used] == [0] * len(masks_used)


@pytest.mark.parametrize(
    ("name", "device", "dtype", "message"),
    [
        (
            "fused",
            "cpu",
            torch.float32,
            "expected one of auto, sdpa, eager, varlen, flash_attention_2",
        ),
        ("flash_attention_2", "cpu", torch.bfloat16, "expected a CUDA device, found cpu"),
        ("flash_attention_2", "cuda", torch.float32, "--dtype bfloat16 or float16, found float32"),
        ("flash_attention_2", "cuda", torch.bfloat16, "pip install flash-attn"),
    ],
)
def test_attention_that_cannot_run_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, device: str, dtype: torch.dtype, message: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ModelError, match=message):
        check_attention(name, torch.device(device), dtype)


def test_attention_that_runs_is_not_refused() -> None:
    for name in ("auto", "sdpa", "eager"):
        check_attention(name, torch.device("cpu"), torch.float32)
