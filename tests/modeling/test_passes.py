"""Shared prefixes, padding and generation against the plain forward pass, in float32."""

import random

import pytest
import torch
from torch import Tensor

from prism_cli.errors import ModelError
from prism_cli.modeling.dense_pass import DensePass
from prism_cli.modeling.hybrid_pass import HybridPass
from tests.modeling.tiny import VOCABULARY, tiny_model

PASSES = [
    ("llama", DensePass),
    ("qwen3", DensePass),
    ("llama", HybridPass),
    ("qwen3_5", HybridPass),
]
TOLERANCE = 1e-5
LOT = random.Random(3)


def some(count: int) -> list[int]:
    return [LOT.randrange(5, VOCABULARY) for _ in range(count)]


PREFIXES = [some(11), some(17), some(2)]
ROWS = [(0, some(5)), (0, some(9)), (1, some(3)), (2, some(12)), (2, some(1)), (1, some(70))]


def plain(model: torch.nn.Module, texts: list[list[int]]) -> Tensor:
    """Hidden states [rows, hidden] at the last token, one text at a time, nothing cached."""
    core = model.get_decoder()  # type: ignore[operator]
    return torch.stack(
        [core(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1] for ids in texts]
    )


@pytest.mark.parametrize(("shape", "kind"), PASSES)
@torch.inference_mode()
def test_batched_tails_behind_shared_prefixes_equal_whole_prompts(
    shape: str, kind: type[DensePass] | type[HybridPass]
) -> None:
    model = tiny_model(shape)
    forward = kind(model)
    states = forward.prefill(PREFIXES)
    hidden, nothing = forward.extend([states[q] for q, _ in ROWS], [t for _, t in ROWS], keep=False)
    assert nothing is None
    expected = plain(model, [PREFIXES[q] + tail for q, tail in ROWS])
    torch.testing.assert_close(hidden, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("shape", "kind"), PASSES)
@torch.inference_mode()
def test_twenty_tokens_with_rows_leaving_equal_whole_texts(
    shape: str, kind: type[DensePass] | type[HybridPass]
) -> None:
    model = tiny_model(shape)
    forward = kind(model)
    states = forward.prefill(PREFIXES)
    _, batch = forward.extend([states[q] for q, _ in ROWS], [t for _, t in ROWS], keep=True)
    assert batch is not None
    texts = [PREFIXES[q] + tail for q, tail in ROWS]
    for number in range(20):
        if number == 7:
            batch = batch.keep(torch.tensor([5, 0, 2]), forward.attention)
            texts = [texts[5], texts[0], texts[2]]
        tokens = some(len(texts))
        texts = [[*text, token] for text, token in zip(texts, tokens, strict=True)]
        hidden = forward.step(batch, torch.tensor(tokens))
        torch.testing.assert_close(hidden, plain(model, texts), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("shape", "kind"), PASSES)
@torch.inference_mode()
def test_many_tokens_outgrow_the_buffers_without_a_trace(
    shape: str, kind: type[DensePass] | type[HybridPass]
) -> None:
    model = tiny_model(shape)
    forward = kind(model)
    states = forward.prefill(PREFIXES[:1])
    _, batch = forward.extend([states[0]] * 2, [some(4), some(6)], keep=True)
    assert batch is not None
    texts = [PREFIXES[0] + some(1) for _ in range(2)]
    _, batch = forward.extend([states[0]] * 2, [text[-1:] for text in texts], keep=True)
    assert batch is not None
    hidden = torch.empty(0)
    for _ in range(140):
        tokens = some(2)
        texts = [[*text, token] for text, token in zip(texts, tokens, strict=True)]
        hidden = forward.step(batch, torch.tensor(tokens))
    torch.testing.assert_close(hidden, plain(model, texts), atol=TOLERANCE, rtol=0)


@torch.inference_mode()
def test_dense_pass_leaves_the_weights_as_they_were() -> None:
    model = tiny_model("qwen3")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    DensePass(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_sliding_windows_are_refused() -> None:
    model = tiny_model("llama")
    model.config.layer_types = ["sliding_attention"] * 4
    with pytest.raises(ModelError, match="sliding_attention"):
        HybridPass(model)
