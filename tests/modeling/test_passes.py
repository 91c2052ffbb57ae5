"""Shared prefixes, padding and generation against the plain forward pass, in float32."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.models.qwen3_5 import modeling_qwen3_5

from prism_cli.errors import ModelError
from prism_cli.modeling.dense_pass import DensePass
from prism_cli.modeling.forward_pass import forward_pass
from prism_cli.modeling.hybrid_pass import HybridPass
from prism_cli.modeling.prefix_cache import BatchCache, gather_rows
from tests.modeling.tiny import VOCABULARY, tiny_model

PASSES = [
    ("llama", DensePass),
    ("qwen3", DensePass),
    ("llama", HybridPass),
    ("qwen3_5", HybridPass),
]
TOLERANCE = 1e-5
# bfloat16 has 8 bits: one rounding of a hidden state of 2 to 4 changes it by up to 2**-7, and about
# ten roundings per layer differ in another order of operations. Largest of five seeds: .055.
BF16_TOLERANCE = 0.1
# Hidden states of linear layers: steps and split texts sum in another order (31 seeds: at most
# 2.9e-5). The tests of families hold scores, which come before any step, to 1e-5.
FLOAT32 = {"llama": TOLERANCE, "qwen3": TOLERANCE, "qwen3_5": 5e-5}
RNG = random.Random(3)


def some(count: int) -> list[int]:
    return [RNG.randrange(5, VOCABULARY) for _ in range(count)]


PREFIXES = [some(11), some(17), some(2)]
ROWS = [(0, some(5)), (0, some(9)), (1, some(3)), (2, some(12)), (2, some(1)), (1, some(70))]


def plain(model: torch.nn.Module, texts: list[list[int]]) -> Tensor:
    """Return hidden states [rows, hidden] of the last token, one text at a time, uncached."""
    core = model.get_decoder()  # type: ignore[operator]
    return torch.stack(
        [core(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1] for ids in texts]
    )


def step(forward: DensePass | HybridPass, batch: BatchCache, tokens: list[int]) -> Tensor:
    hidden = forward.step(batch, [[token] for token in tokens])
    batch.positions = batch.positions + 1
    return hidden


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
    torch.testing.assert_close(hidden, expected, atol=TOLERANCE, rtol=TOLERANCE)


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
            batch = gather_rows([(batch, [5, 0, 2])], forward.attention)
            texts = [texts[5], texts[0], texts[2]]
        tokens = some(len(texts))
        texts = [[*text, token] for text, token in zip(texts, tokens, strict=True)]
        hidden = step(forward, batch, tokens)
        close(hidden, plain(model, texts), FLOAT32[shape])


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
        hidden = step(forward, batch, tokens)
    close(hidden, plain(model, texts), FLOAT32[shape])


@pytest.mark.parametrize(("shape", "kind"), PASSES)
@pytest.mark.parametrize(("seed", "kv_heads"), [(1, 1), (2, 4), (3, 2)])
@torch.inference_mode()
def test_any_weights_and_groups_padded_on_both_sides(
    shape: str, kind: type[DensePass] | type[HybridPass], seed: int, kv_heads: int
) -> None:
    model = tiny_model(shape, seed=seed, kv_heads=kv_heads)
    forward = kind(model)
    states = [forward.prefill([prefix])[0] for prefix in PREFIXES]
    hidden, batch = forward.extend([states[q] for q, _ in ROWS], [t for _, t in ROWS], keep=True)
    assert batch is not None
    texts = [PREFIXES[q] + tail for q, tail in ROWS]
    close(hidden, plain(model, texts), FLOAT32[shape])
    for (q, tail), together in zip(ROWS, hidden, strict=True):
        alone, _ = forward.extend([states[q]], [tail], keep=False)
        close(alone[0], together, FLOAT32[shape])
    tokens = some(len(texts))
    hidden = step(forward, batch, tokens)
    close(
        hidden,
        plain(model, [[*t, token] for t, token in zip(texts, tokens, strict=True)]),
        FLOAT32[shape],
    )


@pytest.mark.parametrize("lengths", [(1,), (1, 1, 1), (63, 64, 65), (64, 64), (1, 130, 64), (200,)])
@torch.inference_mode()
def test_chunks_and_single_tokens_of_linear_layers(
    lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers computes linear layers in chunks of 64, and single tokens by another rule."""
    calls = {"chunk": 0, "recurrent": 0}

    def counted(name: str) -> Any:
        rule = getattr(modeling_qwen3_5, f"torch_{name}_gated_delta_rule")

        def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            return rule(*args, **kwargs)

        return call

    model = tiny_model("qwen3_5")
    tails = [some(length) for length in lengths]
    prefix = some(70)
    expected = plain(model, [prefix + tail for tail in tails])
    forward = HybridPass(model)
    state = forward.prefill([prefix])[0]
    for name in calls:
        monkeypatch.setattr(modeling_qwen3_5, f"torch_{name}_gated_delta_rule", counted(name))
    hidden, batch = forward.extend([state] * len(tails), tails, keep=True)
    close(hidden, expected, FLOAT32["qwen3_5"])
    single = max(lengths) == 1
    assert calls == {"chunk": 0 if single else 3, "recurrent": 3 if single else 0}
    assert batch is not None
    tokens = some(len(tails))
    hidden = step(forward, batch, tokens)
    texts = [[*prefix, *tail, token] for tail, token in zip(tails, tokens, strict=True)]
    close(hidden, plain(model, texts), FLOAT32["qwen3_5"])
    assert calls["recurrent"] == (6 if single else 3)


@pytest.mark.parametrize("shape", ["llama", "qwen3_5"])
@torch.inference_mode()
def test_rows_spread_and_leave_as_by_reorder_cache(shape: str) -> None:
    """transformers' own cache, expanded and reordered, over tails of equal length."""
    model = tiny_model(shape)
    core: Any = model.get_decoder()
    prefix, tails = some(9), [some(6) for _ in range(3)]
    cache = DynamicCache(config=model.config)
    core(torch.tensor([prefix]), past_key_values=cache, use_cache=True)
    cache.reorder_cache(torch.zeros(3, dtype=torch.long))
    theirs = core(torch.tensor(tails), past_key_values=cache, use_cache=True).last_hidden_state
    forward = HybridPass(model)
    state = forward.prefill([prefix])[0]
    ours, batch = forward.extend([state] * 3, tails, keep=True)
    assert batch is not None
    close(ours, theirs[:, -1], FLOAT32[shape])
    order = [2, 0]
    cache.reorder_cache(torch.tensor(order))
    batch = gather_rows([(batch, order)], forward.attention)
    for _ in range(20):
        tokens = some(2)
        ids = torch.tensor(tokens)[:, None]
        theirs = core(ids, past_key_values=cache, use_cache=True).last_hidden_state
        close(step(forward, batch, tokens), theirs[:, -1], FLOAT32[shape])
    # The prefix cache is unchanged for the next batch.
    again, _ = forward.extend([state] * 3, tails, keep=False)
    close(again, ours)


@pytest.mark.parametrize(("shape", "kind"), PASSES)
@torch.inference_mode()
def test_bfloat16_is_within_its_bound(shape: str, kind: type[DensePass] | type[HybridPass]) -> None:
    model: Any = tiny_model(shape)
    model.to(torch.bfloat16)
    texts = [PREFIXES[q] + tail for q, tail in ROWS]
    expected = plain(model, texts)
    forward = kind(model)
    states = forward.prefill(PREFIXES)
    hidden, _ = forward.extend([states[q] for q, _ in ROWS], [t for _, t in ROWS], keep=False)
    assert hidden.dtype == torch.bfloat16
    assert (hidden - expected).abs().max() <= BF16_TOLERANCE


@pytest.mark.parametrize(("shape", "kind"), PASSES)
@torch.inference_mode()
def test_rows_of_two_batches_go_on_together(
    shape: str, kind: type[DensePass] | type[HybridPass]
) -> None:
    model = tiny_model(shape)
    forward = kind(model)
    states = forward.prefill(PREFIXES)
    parts = []
    for chosen in (ROWS[:2], ROWS[2:]):
        _, batch = forward.extend([states[q] for q, _ in chosen], [t for _, t in chosen], keep=True)
        assert batch is not None
        parts.append(batch)
    together = gather_rows([(parts[0], [1]), (parts[1], [3, 0, 2])], forward.attention)
    texts = [PREFIXES[q] + tail for q, tail in (ROWS[1], ROWS[5], ROWS[2], ROWS[4])]
    for _ in range(3):
        tokens = some(4)
        texts = [[*text, token] for text, token in zip(texts, tokens, strict=True)]
        hidden = step(forward, together, tokens)
        close(hidden, plain(model, texts), FLOAT32[shape])


@pytest.mark.parametrize("shape", ["llama", "qwen3"])
@torch.inference_mode()
def test_several_tokens_of_one_step_can_be_rolled_back(shape: str) -> None:
    model: Any = tiny_model(shape)
    forward = DensePass(model)
    states = forward.prefill(PREFIXES)
    _, batch = forward.extend([states[q] for q, _ in ROWS], [t for _, t in ROWS], keep=True)
    assert batch is not None
    texts = [PREFIXES[q] + tail for q, tail in ROWS]
    for number in range(6):
        inputs = [some(RNG.randrange(0 if row else 1, 9)) for row in range(len(ROWS))]
        hidden = iter(forward.step(batch, inputs))
        for text, tokens in zip(texts, inputs, strict=True):
            if tokens:
                output = model.get_decoder()(torch.tensor([text + tokens]), use_cache=False)
                expected = output.last_hidden_state[0, len(text) :]
                actual = torch.stack([next(hidden) for _ in tokens])
                torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)
        assert not list(hidden)
        accepted = [RNG.randrange(min(1, len(tokens)), len(tokens) + 1) for tokens in inputs]
        texts = [t + a[:count] for t, a, count in zip(texts, inputs, accepted, strict=True)]
        batch.positions = batch.positions + torch.tensor(accepted)
        if number == 2:
            batch = gather_rows([(batch, [4, 1, 2, 0, 3, 5])], forward.attention)
            texts = [texts[row] for row in (4, 1, 2, 0, 3, 5)]


def close(actual: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


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
        forward_pass(model)


@torch.inference_mode()
def test_another_activation_is_not_taken_for_silu() -> None:
    model = tiny_model("llama")
    assert isinstance(forward_pass(model), DensePass)
    model.config.hidden_act = "gelu"
    model = type(model)(model.config).eval()
    forward, tail = forward_pass(model), some(9)
    hidden, _ = forward.extend(forward.prefill(PREFIXES[:1]), [tail], keep=False)
    close(hidden, plain(model, [PREFIXES[0] + tail]))
