"""`--attn varlen` with a loop in place of the kernel, against whole prompts, in float32."""

import pytest
import torch

from prism_cli.errors import ModelError
from prism_cli.modeling import attention, varlen_attention
from prism_cli.modeling.attention import check_attention
from prism_cli.modeling.dense_pass import DensePass
from prism_cli.modeling.hybrid_pass import HybridPass
from prism_cli.modeling.varlen_attention import RowBounds, attend_rows, use_varlen
from tests.modeling.reference_kernels import use_varlen_kernel
from tests.modeling.test_packed_tails import ROWS, TEXTS, close
from tests.modeling.test_passes import FLOAT32, PASSES, PREFIXES, plain, some, step
from tests.modeling.tiny import tiny_model


@pytest.mark.parametrize(("shape", "kind"), PASSES)
@torch.inference_mode()
def test_tails_and_the_tokens_behind_them_equal_whole_prompts(
    shape: str, kind: type[DensePass] | type[HybridPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(shape)
    shared_prefix = some(9)
    texts = [shared_prefix + text for text in TEXTS]
    expected = plain(model, texts)
    tokens = some(len(texts))
    after = plain(model, [[*t, token] for t, token in zip(texts, tokens, strict=True)])
    rows = use_varlen_kernel(monkeypatch)
    use_varlen(model)
    forward = kind(model)
    (before,) = forward.prefill([shared_prefix])
    states = forward.prefill(PREFIXES, before)
    tails = [tail for _, tail in ROWS]
    hidden, batch = forward.extend([states[q] for q, _ in ROWS], tails, keep=True)
    close(hidden, expected, FLOAT32[shape])
    attended = forward.attention.count(True)
    assert rows == [1] * attended + [len(PREFIXES)] * attended + [len(ROWS)] * attended
    assert batch is not None
    close(step(forward, batch, tokens), after, FLOAT32[shape])
    alone, _ = forward.extend([states[0]], [tails[0]], keep=False)
    close(alone[0], expected[0], FLOAT32[shape])


def test_torch_computes_the_shapes_that_are_expected_of_it() -> None:
    """torch's own kernel, without data."""
    query, key = (
        torch.empty(9, heads, 16, device="meta", dtype=torch.bfloat16) for heads in (4, 2)
    )
    bounds = RowBounds.of([4, 5], [4, 5], "meta")
    out = attend_rows(query.float(), key, key, bounds)
    assert (out.shape, out.dtype) == (query.shape, torch.bfloat16)


@pytest.mark.parametrize(
    ("device", "dtype", "capability", "message"),
    [
        ("cpu", torch.bfloat16, (9, 0), "expected a CUDA device, found cpu"),
        ("cuda", torch.float32, (9, 0), "--dtype bfloat16 or float16, found float32"),
        ("cuda", torch.bfloat16, (7, 5), "older than compute capability 8.0"),
        ("cuda", torch.bfloat16, (9, 0), ""),
    ],
)
def test_cards_and_types_without_kernels_are_refused(
    device: str,
    dtype: torch.dtype,
    capability: tuple[int, int],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A card")
    if not message:
        check_attention("varlen", torch.device(device), dtype)
        return
    with pytest.raises(ModelError, match=message):
        check_attention("varlen", torch.device(device), dtype)


def test_a_torch_without_the_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen_attention, "_kernel", lambda: len)
    with pytest.raises(ModelError, match="lacks torch"):
        attention.check_attention("varlen", torch.device("cuda"), torch.bfloat16)
