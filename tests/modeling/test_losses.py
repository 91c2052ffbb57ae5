"""The packed loss against the plain one, and against a number worked out by hand."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import IA3Config, LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from prism_cli.errors import ModelError
from prism_cli.modeling import losses, packed_layers, packed_rows
from prism_cli.modeling.lora import add_lora, recompute_activations, train_all
from prism_cli.modeling.losses import RowBatch, RowForward, TokenizedRow, step_loss
from prism_cli.modeling.varlen_attention import use_varlen
from prism_cli.training.batches import token_batches
from tests.modeling.reference_kernels import use_kernels, use_varlen_kernel
from tests.written_out import row_loss

YES, NO, EOS = 3, 4, 5
SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
LINEAR = {
    "num_hidden_layers": 4,
    "head_dim": 8,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=8)),
    "qwen3.5": lambda: Qwen3_5ForCausalLM(Qwen3_5TextConfig(**SHAPE | LINEAR)),
}


def model_of(name: str, adapted: bool) -> nn.Module:
    torch.manual_seed(1)
    model = MODELS[name]()
    model.requires_grad_(False)
    if not adapted:
        return train_all(model).eval()
    wrapped = add_lora(model, 4, 8, 0.0, ["q_proj", "v_proj", "down_proj", "in_proj_qkv"])
    for key, weight in wrapped.named_parameters():
        if "lora_B" in key:  # zeros at first: with them, half of the gradients would be 0
            nn.init.normal_(weight, std=0.3)
    return wrapped.eval()


def rows_of(count: int, shared: int = 20) -> list[TokenizedRow]:
    """Return rows of several lengths with a shared prefix; a third each: both, sft, pointwise."""
    draw = torch.Generator().manual_seed(2)

    def ids(length: int) -> list[int]:
        return torch.randint(6, 64, (length,), generator=draw).tolist()

    start = ids(shared)
    rows = []
    for number in range(count):
        target = {0: [YES, *ids(3 + number), EOS], 1: [NO, EOS], 2: []}[number % 3]
        pointwise = number % 3 != 1
        score = (0.1 + 0.05 * number) if pointwise else 0.0
        prompt = start + ids(3 + number * 5 % 17)
        rows.append(TokenizedRow(prompt, target, score, pointwise, f"rows.jsonl:{number + 1}"))
    return rows


def plain_loss(model: nn.Module, rows: Sequence[TokenizedRow]) -> Tensor:
    """Return the mean over the rows, one row at a time."""
    return torch.stack([row_loss(model, row, YES, NO) for row in rows]).sum() / len(rows)


def fast_loss(model: nn.Module, rows: Sequence[TokenizedRow], budget: int = 10**6) -> Tensor:
    """Return the loss as the trainer sums it."""
    forward = RowForward(model, YES, NO)
    total = torch.zeros(())
    for part in token_batches(rows, budget):
        batch = RowBatch.of(part)
        pointwise, sft = step_loss(*forward(batch), batch)
        total = total + (pointwise + sft).sum()
    return total / len(rows)


def gradients(model: nn.Module, loss: Tensor, least: int = 4) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    gradients = {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    assert len(gradients) >= least
    return gradients


def assert_same(
    model: nn.Module, rows: Sequence[TokenizedRow], loss: Tensor, other: Tensor, least: int = 4
) -> None:
    torch.testing.assert_close(loss, other, rtol=1e-5, atol=1e-6)
    expected, actual = gradients(model, loss, least), gradients(model, other, least)
    assert expected.keys() == actual.keys()
    assert any(grad.abs().max().item() > 1e-4 for grad in expected.values())
    for name, grad in expected.items():
        torch.testing.assert_close(actual[name], grad, rtol=1e-4, atol=2e-6, msg=name)


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_the_plain_loss(name: str, adapted: bool) -> None:
    model, rows = model_of(name, adapted), rows_of(7)
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows))


def test_an_adapter_on_the_head_is_part_of_the_logit() -> None:
    base = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False))
    model, rows = add_lora(base, 4, 8, 0.0, ["q_proj", "lm_head"]).eval(), rows_of(7)
    for key, weight in model.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(weight, std=0.3)
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows))
    rows = [row for row in rows if not row.target]
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows))


@pytest.mark.parametrize("adapter", ["lora", "own head"])
def test_the_logit_of_an_adapted_head_is_computed_in_float32(adapter: str) -> None:
    base = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False)).to(torch.bfloat16)
    own = {"modules_to_save": ["lm_head"]} if adapter == "own head" else {}
    targets = ["q_proj"] if own else ["lm_head"]
    model: Any = get_peft_model(base, LoraConfig(r=4, target_modules=targets, **own))
    head = base.get_output_embeddings()
    if own:
        weight = head.modules_to_save["default"].weight.float()
    else:
        nn.init.normal_(head.lora_B["default"].weight, std=0.3)
        weight = head.base_layer.weight.float() + head.get_delta_weight("default")
    hidden = torch.randn(32, SHAPE["hidden_size"], dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logit = RowForward(model, YES, NO)._verdict(hidden, head)
    torch.testing.assert_close(logit, hidden.float() @ (weight[YES] - weight[NO]))


def test_adapters_other_than_lora_are_trained() -> None:
    settings = IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"])
    model: Any = get_peft_model(MODELS["llama"](), settings)
    rows = rows_of(7)
    assert_same(model.eval(), rows, plain_loss(model, rows), fast_loss(model, rows))


@pytest.mark.parametrize("name", MODELS)
def test_gradient_checkpointing_changes_nothing(name: str) -> None:
    model, rows = model_of(name, adapted=True), rows_of(5)
    expected = gradients(model, fast_loss(model, rows))
    wrapped: Any = model
    recompute_activations(wrapped.get_base_model())
    model.train()
    actual = gradients(model, fast_loss(model, rows))
    for key, grad in expected.items():
        torch.testing.assert_close(actual[key], grad, rtol=1e-4, atol=2e-6, msg=key)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("budget", [1, 90, 200, 10**6])
def test_loss_of_a_step_does_not_depend_on_its_passes(name: str, budget: int) -> None:
    model, rows = model_of(name, adapted=True), rows_of(16)
    assert len(token_batches(rows, 1)) == 16
    kinds = {(bool(row.target), row.pointwise) for row in rows}
    assert kinds == {(True, True), (True, False), (False, True)}
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows, budget))


@settings(max_examples=15)
@given(st.permutations(range(8)), st.integers(1, 400))
def test_loss_does_not_depend_on_the_order_of_rows(order: list[int], budget: int) -> None:
    model, rows = model_of("llama", adapted=False), rows_of(8)
    with torch.no_grad():
        expected = fast_loss(model, rows)
        reordered = fast_loss(model, [rows[number] for number in order], budget)
    torch.testing.assert_close(reordered, expected, rtol=1e-5, atol=1e-6)


def test_attention_of_rows_together_is_that_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = model_of("llama", adapted=True), rows_of(6)
    spans = [RowBatch.of(rows).layout.spans]
    together = fast_loss(model, rows)
    monkeypatch.setattr(packed_rows, "_SIMILAR", 1.01)
    spans.append(RowBatch.of(rows).layout.spans)
    assert len(spans[0]) < len(spans[1]) == 6
    assert_same(model, rows, together, fast_loss(model, rows))
    monkeypatch.setattr(packed_rows, "_SIMILAR", 0.0)
    assert len(RowBatch.of(rows).layout.spans) == 1
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows))


@pytest.mark.parametrize("name", MODELS)
def test_long_rows_attend_in_order(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_rows, "LONG", 16)
    model, rows = model_of(name, adapted=True), rows_of(9)
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows))


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_the_last_layer_computes_only_the_tokens_that_the_loss_reads(name: str) -> None:
    model, rows = model_of(name, adapted=True), rows_of(7)
    wrapped: Any = model
    widths: list[int] = []
    for layer in wrapped.get_base_model().model.layers:
        layer.register_forward_hook(lambda *call: widths.append(call[2].shape[1]))
    fast_loss(model, rows)
    assert widths[0] >= 20 + sum(row.tokens - 20 for row in rows)
    assert widths[1:] == [sum(max(len(row.target), 1) for row in rows)]


@pytest.mark.parametrize("short", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_frozen_layers_keep_less_for_their_gradients(
    name: str, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> int:
        sizes: dict[int, int] = {}

        def count(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
            return tensor

        alive: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss()
        return sum(sizes.values()) - weights

    def loss() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            return fast_loss(model, rows)

    torch.manual_seed(3)
    everywhere = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model, rows = add_lora(MODELS[name](), 4, 8, 0.0, everywhere), rows_of(16)
    for key, weight in model.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(weight, std=0.3)
        elif short and not weight.requires_grad:  # as a recipe loads it
            weight.data = weight.data.to(torch.bfloat16)
    weights = sum(weight.nbytes for weight in model.parameters())
    lean, of_lean = loss(), kept()
    monkeypatch.setattr(packed_layers, "adapted", lambda *_: None)
    plain, of_plain = loss(), kept()
    assert of_lean < (0.85 if short else 0.8) * of_plain
    if not short:
        return assert_same(model, rows, lean, plain)
    of_lean_loss, of_plain_loss = gradients(model, lean), gradients(model, plain)
    exact = gradients(model.float(), fast_loss(model, rows))
    far = {
        way: sum((found[key] - exact[key]).square().sum() for key in exact)
        for way, found in (("lean", of_lean_loss), ("plain", of_plain_loss))
    }
    assert far["lean"] < 1.5 * far["plain"]


@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_bfloat16_is_near_float32(name: str) -> None:
    rows, model = rows_of(9), model_of(name, adapted=True)
    exact = fast_loss(model, rows)
    expected = gradients(model, exact)
    for module in model.modules():  # the base, as a recipe loads it
        if isinstance(module, nn.Linear | nn.Embedding) and not module.weight.requires_grad:
            module.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        short = fast_loss(model, rows)
    actual = gradients(model, short)
    assert float(short.detach()) == pytest.approx(float(exact.detach()), rel=1e-2)
    for key, gradient in expected.items():
        assert (actual[key] - gradient).norm() < 0.05 * gradient.norm(), key


@pytest.mark.parametrize("name", MODELS)
def test_without_kernels_only_models_that_attend_everywhere_are_packed(name: str) -> None:
    model = MODELS[name]()
    assert RowForward(model, YES, NO).packs == (name != "qwen3.5")
    assert packed_rows.ATTENTION not in model.config.to_json_string()


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_rows_of_hybrids_are_packed_where_kernels_keep_them_apart(
    adapted: bool, recomputed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = model_of("qwen3.5", adapted), rows_of(7)
    expected = plain_loss(model, rows)
    expected_gradients = gradients(model, expected)
    lengths = use_kernels(monkeypatch)
    if recomputed:
        wrapped: Any = model
        recompute_activations(wrapped.get_base_model() if adapted else wrapped)
        model.train()
    loss = fast_loss(model, rows)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    found = gradients(model, loss)
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=2e-6, msg=name)
    linear_layers = 3
    assert len(lengths) == linear_layers * (1 + recomputed)
    assert all(sorted(one) == sorted(row.tokens for row in rows) for one in lengths)


@pytest.mark.parametrize("shared", [0, 20])
@pytest.mark.parametrize("name", MODELS)
def test_rows_that_attend_by_the_varlen_kernel(
    name: str, shared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = model_of(name, adapted=True), rows_of(7, shared)
    expected = plain_loss(model, rows)
    expected_gradients = gradients(model, expected)
    use_kernels(monkeypatch)
    called = use_varlen_kernel(monkeypatch)
    wrapped: Any = model
    use_varlen(wrapped.get_base_model())
    loss = fast_loss(model, rows)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    found = gradients(model, loss)
    for key, gradient in expected_gradients.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-4, atol=2e-6, msg=key)
    # Once a layer that attends: the rows, and before them the prefix where it is computed once.
    assert called == [7] if name == "qwen3.5" else [7 + (shared > 0)] * 2


@pytest.mark.parametrize("name", MODELS)
def test_fsdp_is_told_of_layers_that_the_model_has(name: str) -> None:
    model = MODELS[name]()
    (layer,) = RowForward(model, YES, NO)._no_split_modules
    assert layer == type(model.model.layers[0]).__name__


def test_rows_of_hybrids_can_be_padded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    use_kernels(monkeypatch)
    assert not RowForward(MODELS["qwen3.5"](), YES, NO, pack_hybrids=False).packs
    assert RowForward(MODELS["qwen3.5"](), YES, NO).packs


def test_a_prompt_that_begins_another_leaves_its_last_token_to_the_tail() -> None:
    model = model_of("llama", adapted=False)
    long = [7] * 30
    rows = [
        TokenizedRow(long[:20], [YES, EOS], 0.2, True, "a:1"),
        TokenizedRow(long, [], 0.9, True, "a:2"),
        TokenizedRow(long[:20], [], 0.4, True, "a:3"),
    ]
    assert RowBatch.of(rows).layout.shared_prefix == 19
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows))


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=5))
def test_common_prefix_is_shared_by_all_and_leaves_a_token(prompts: list[list[int]]) -> None:
    shared = packed_rows.common_prefix(prompts)
    assert all(prompt[:shared] == prompts[0][:shared] for prompt in prompts)
    assert shared < min(map(len, prompts))
    longer = [prompt[: shared + 1] for prompt in prompts]
    all_alike = all(prompt == longer[0] for prompt in longer)
    assert len(prompts) == 1 or not all_alike or shared + 1 == min(map(len, prompts))


def test_chunks_of_the_head_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = model_of("llama", adapted=False), rows_of(12)
    unchunked = fast_loss(model, rows)
    targets = sum(len(row.target) for row in rows)
    calls: list[int] = []
    real = losses.checkpoint
    monkeypatch.setattr(
        losses, "checkpoint", lambda *a, **more: calls.append(len(a[1])) or real(*a, **more)
    )
    monkeypatch.setattr(losses, "HEAD_POSITIONS", 7)
    chunked = fast_loss(model, rows)
    assert len(calls) == -(-targets // 7)
    assert sum(calls) == targets
    assert_same(model, rows, unchunked, chunked)


def test_rows_without_targets_have_no_cross_entropy() -> None:
    model = model_of("llama", adapted=False)
    rows = [row for row in rows_of(9) if not row.target]
    batch = RowBatch.of(rows)
    logit, cross_entropy = RowForward(model, YES, NO)(batch)
    assert cross_entropy.tolist() == [0.0] * len(rows)
    pointwise, sft = step_loss(logit, cross_entropy, batch)
    assert sft.tolist() == [0.0] * len(rows)
    assert min(pointwise.tolist()) > 0
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows))


def test_a_row_of_one_token_and_one_row_alone() -> None:
    model = model_of("llama", adapted=False)
    rows = [TokenizedRow([9], [NO, EOS], 0.0, False, "a:1")]
    assert_same(model, rows, plain_loss(model, rows), fast_loss(model, rows))


class _ByHand(nn.Module):
    """A model with given logits: hidden state = one-hot of the token."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.head = nn.Linear(*reversed(table.shape), bias=False)
        self.head.weight = nn.Parameter(table)
        self.config: Any = type("Config", (), {"layer_types": ["full_attention"]})
        self.base_model = self._body

    def _body(self, input_ids: Tensor, **_: Any) -> Any:
        hidden = nn.functional.one_hot(input_ids, self.head.in_features).float()
        return type("Output", (), {"last_hidden_state": hidden})

    def get_output_embeddings(self) -> nn.Module:
        return self.head


def test_the_number_worked_by_hand() -> None:
    """Vocabulary {0 yes, 1 no, 2 eos}; after token 0 the logits are (ln 3, 0, 0), after 1 zeros.

    Row 1: prompt [1, 0], target yes eos, teacher .5, both objectives. logit = ln 3, so score =
    3/4 and 10 * (1/4)^2 = .625. P(yes | 0) = 3/5, P(eos | 0) = 1/5: mean CE = (ln 5/3 + ln 5) / 2.
    Row 2: prompt [1], no target, teacher 1. logit = 0, score = 1/2: 10 * 1/4 = 2.5.
    Loss = (.625 + 2.5 + ln 5 - ln 3 / 2) / 2.
    """
    table = torch.zeros(3, 3)
    table[0, 0] = math.log(3)  # [vocabulary, hidden]: token 0 raises yes
    rows = [
        TokenizedRow([1, 0], [0, 2], 0.5, True, "a:1"),
        TokenizedRow([1], [], 1.0, True, "a:2"),
    ]
    forward = RowForward(_ByHand(table), 0, 1)
    batch = RowBatch.of(rows)
    logit, cross_entropy = forward(batch)
    assert logit.tolist() == pytest.approx([math.log(3), 0.0])
    pointwise, sft = step_loss(logit, cross_entropy, batch)
    assert pointwise.tolist() == pytest.approx([0.625, 2.5])
    assert sft.tolist() == pytest.approx([math.log(5) - math.log(3) / 2, 0.0])
    total = sum((pointwise + sft).tolist()) / 2
    assert total == pytest.approx((0.625 + 2.5 + math.log(5) - math.log(3) / 2) / 2)
    halved, tripled = step_loss(logit, cross_entropy, batch, gamma_point=5.0, gamma_sft=3.0)
    assert halved.tolist() == pytest.approx([0.3125, 1.25])
    assert tripled.tolist() == pytest.approx([3 * sft.tolist()[0], 0.0])


def test_lengths_are_what_the_model_reads() -> None:
    for row in rows_of(6):
        read = len(row.prompt) + max(len(row.target) - 1, 0)
        assert row.tokens == read
    batch = RowBatch.of(rows_of(3))
    shared_prefix = batch.layout.shared_prefix
    assert shared_prefix == 20
    assert len(batch.ids) == sum(row.tokens for row in rows_of(3)) - 2 * shared_prefix


def test_adapters_are_float32_on_a_bfloat16_base() -> None:
    model = MODELS["llama"]().to(torch.bfloat16)
    wrapped = add_lora(model, 4, 8, 0.0, ["q_proj", "no_such"])
    kinds = {weight.dtype for weight in wrapped.parameters() if weight.requires_grad}
    assert kinds == {torch.float32}
    frozen = {weight.dtype for weight in wrapped.parameters() if not weight.requires_grad}
    assert frozen == {torch.bfloat16}
    trained = train_all(MODELS["llama"]().to(torch.bfloat16))
    assert {(weight.dtype, weight.requires_grad) for weight in trained.parameters()} == {
        (torch.float32, True)
    }


def test_adapters_begin_at_the_first_layer_that_was_named() -> None:
    wrapped = add_lora(MODELS["llama"](), 4, 8, 0.0, ["q_proj"], first_layer=1)
    adapted = {name for name, weight in wrapped.named_parameters() if weight.requires_grad}
    assert adapted
    assert all(".layers.1." in name for name in adapted)
    rows = rows_of(5)
    assert_same(wrapped, rows, plain_loss(wrapped, rows), fast_loss(wrapped, rows), least=2)
    with pytest.raises(ModelError, match=r"first_layer = 2: expected one of the model's 2 layers"):
        add_lora(MODELS["llama"](), 4, 8, 0.0, ["q_proj"], first_layer=2)


def test_a_model_without_the_named_layers_is_refused() -> None:
    with pytest.raises(ModelError, match=r"found none of query; it has .*q_proj"):
        add_lora(MODELS["llama"](), 4, 8, 0.0, ["query"])
