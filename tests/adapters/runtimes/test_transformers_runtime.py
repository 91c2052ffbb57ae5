"""The runtime on tiny random models with a real tokenizer: batches change nothing."""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prism_cli.adapters.runtimes.canary import (
    IRRELEVANT,
    RELEVANT,
    canary_of,
    canary_scores,
    canary_warning,
)
from prism_cli.adapters.runtimes.transformers_runtime import (
    WRITING_BATCHES,
    TransformersReranker,
)
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.errors import ModelError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import LoadedModel
from prism_cli.ports import BatchBackend, Reply, RerankTask, rerank_request
from tests.modeling.tiny import SHAPES, tiny_model

PAIRS = [
    (query, " ".join(["Paris lies on the Seine.", "It is old."][number % 2 :]) * (1 + number % 4))
    for query in ("where is Paris?", "how old is the city of Paris, and who founded it?", "why")
    for number in range(7)
]
TASKS = [RerankTask(*pair) for pair in PAIRS]


@functools.cache
def shifted_model(tokenizer: PreTrainedTokenizerBase, shape: str) -> PreTrainedModel:
    """Return a tiny model whose head is shifted so that both verdicts occur among PAIRS."""
    model: Any = tiny_model(shape, vocabulary=49_152)
    head = model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    encoder = PromptEncoder(tokenizer, PRISM_NO_THINK)
    with torch.inference_mode():
        ids = [torch.tensor([encoder.encode(*pair).ids]) for pair in PAIRS]
        last = torch.cat([model.get_decoder()(row_ids).last_hidden_state[:, -1] for row_ids in ids])
        middle = (last @ (head.weight[encoder.yes_id] - head.weight[encoder.no_id])).median()
        mean = last.mean(0)
        head.weight[encoder.yes_id] -= middle * mean / (mean @ mean)
    typed_model: PreTrainedModel = model
    return typed_model


def make(tokenizer: PreTrainedTokenizerBase, shape: str, **options: Any) -> TransformersReranker:
    loaded = LoadedModel(
        shifted_model(tokenizer, shape), tokenizer, PRISM_NO_THINK, "f" * 64, Path("tiny")
    )
    return TransformersReranker(loaded, f"tiny:{shape}", **options)


def planned(
    backend: TransformersReranker, pairs: list[tuple[str, str]], max_new_tokens: int = 0
) -> list[Reply]:
    """Return replies in order of `pairs`, asked in planned batches."""
    tasks = [RerankTask(*pair, max_new_tokens) for pair in pairs]
    replies: dict[int, Reply] = {}
    for batch in backend.plan(tasks):
        answers = backend.answer([tasks[index] for index in batch])
        replies.update(zip(batch, answers, strict=True))
    return [replies[index] for index in range(len(pairs))]


def plain_logit(backend: TransformersReranker, pair: tuple[str, str]) -> float:
    """Compute the logit from the complete prompt, with no sharing, truncation or cache."""
    encoder = backend.encoder
    with torch.inference_mode():
        logits = backend.loaded.model(torch.tensor([encoder.encode(*pair).ids])).logits[0, -1]
    return float(logits[encoder.yes_id] - logits[encoder.no_id])


def plain_text(backend: TransformersReranker, pair: tuple[str, str], tokens: int) -> list[int]:
    """Decode greedily after yes, with the complete text through the model at each step."""
    ids = [*backend.encoder.encode(*pair).ids, backend.encoder.yes_id]
    start = len(ids)
    with torch.inference_mode():
        while len(ids) < start + tokens:
            ids.append(int(backend.loaded.model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == backend.encoder.eos_id:
                return ids[start:-1]
    return ids[start:]


@pytest.mark.parametrize("shape", SHAPES)
def test_batched_scores_equal_those_of_single_prompts(
    tokenizer: PreTrainedTokenizerBase, shape: str
) -> None:
    backend = make(tokenizer, shape, batch_tokens=150)
    replies = planned(backend, PAIRS)
    assert len(backend.plan(TASKS)) > 3
    for pair, reply in zip(PAIRS, replies, strict=True):
        assert reply.value["logit"] == pytest.approx(plain_logit(backend, pair), abs=1e-5)
        assert reply.value["truncated"] is False
        assert "text" not in reply.value


def test_the_bias_of_the_head_is_part_of_the_score(tokenizer: PreTrainedTokenizerBase) -> None:
    model: Any = copy.deepcopy(shifted_model(tokenizer, "llama"))
    model.lm_head.bias = torch.nn.Parameter(torch.randn(49_152))
    backend = TransformersReranker(
        LoadedModel(model, tokenizer, PRISM_NO_THINK, "f" * 64, Path("tiny")), "tiny:llama"
    )
    (logit,) = backend.logits(PAIRS[:1])
    assert logit == pytest.approx(plain_logit(backend, PAIRS[0]), abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_batched_texts_equal_those_of_a_plain_loop(
    tokenizer: PreTrainedTokenizerBase, shape: str
) -> None:
    backend = make(tokenizer, shape, batch_tokens=400)
    replies = planned(backend, PAIRS, 20)
    written = [
        (pair, reply) for pair, reply in zip(PAIRS, replies, strict=True) if "text" in reply.value
    ]
    assert all(("text" in reply.value) == (reply.value["logit"] > 0) for reply in replies)
    assert 0 < len(written) < len(PAIRS)
    for pair, reply in written[:4]:
        expected = plain_text(backend, pair, 20)
        assert reply.usage.output_tokens == len(expected)
        assert reply.value["text"] == tokenizer.decode(
            [backend.encoder.yes_id, *expected], skip_special_tokens=True
        )


@pytest.mark.parametrize("shape", ["llama", "qwen3_5"])
def test_each_text_ends_at_its_own_limit_in_any_batch(
    tokenizer: PreTrainedTokenizerBase, shape: str
) -> None:
    unsplit = make(tokenizer, shape).answer([task._replace(max_new_tokens=20) for task in TASKS])
    limits = [(0, 20, 1, 7)[row % 4] for row in range(len(TASKS))]
    tasks = [task._replace(max_new_tokens=n) for task, n in zip(TASKS, limits, strict=True)]
    backend = make(tokenizer, shape, batch_tokens=90)  # the texts of few rows fit beside others
    replies: dict[int, Reply] = {}
    for batch in backend.plan(tasks):
        answers = backend.answer([tasks[row] for row in batch])
        replies.update(zip(batch, answers, strict=True))
    assert sum("text" in reply.value for reply in replies.values()) > 4
    for row, limit in enumerate(limits):
        long, short = unsplit[row], replies[row]
        assert ("text" in short.value) == bool(limit and "text" in long.value)
        assert short.usage.output_tokens == min(limit, long.usage.output_tokens)
        if "text" in short.value:
            assert str(long.value["text"]).startswith(str(short.value["text"]).rstrip("\ufffd"))


def test_batches_are_answered_together_where_texts_are_wanted(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    backend = make(tokenizer, "llama", batch_tokens=150)
    scores = backend.plan(TASKS)
    texts = backend.plan([task._replace(max_new_tokens=5) for task in TASKS])
    assert texts[0] == [row for batch in scores[:WRITING_BATCHES] for row in batch]
    assert len(texts) == -(-len(scores) // WRITING_BATCHES)


def test_same_payloads_have_the_same_plan_and_the_same_numbers(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    first, second = (make(tokenizer, "llama", batch_tokens=150) for _ in range(2))
    assert isinstance(first, BatchBackend)
    assert first.plan(TASKS) == second.plan(TASKS)
    assert planned(first, PAIRS, 20) == planned(second, PAIRS, 20)
    assert first.fingerprint == second.fingerprint


def test_scores_do_not_depend_on_earlier_requests(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    fresh, used = (make(tokenizer, "llama") for _ in range(2))
    used.plan([RerankTask("another query", "text"), *TASKS[3:5]])
    used.answer([RerankTask("another query", "text"), *TASKS[3:5]])
    last = fresh.plan(TASKS)[-1]
    assert used.plan(TASKS)[-1] == last
    tasks = [TASKS[index] for index in last]
    assert fresh.answer(tasks) == used.answer(tasks)


def test_scores_of_a_later_batch_are_the_same_after_a_kill(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    uninterrupted, killed = (make(tokenizer, "llama", batch_tokens=60) for _ in range(2))
    batches = uninterrupted.plan(TASKS)
    answers = [uninterrupted.answer([TASKS[index] for index in batch]) for batch in batches]
    assert killed.plan(TASKS) == batches
    for batch, expected in list(zip(batches, answers, strict=True))[::-1]:
        assert killed.answer([TASKS[index] for index in batch]) == expected


def test_prefixes_of_a_plan_are_computed_together_after_their_common_part(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(tokenizer, "llama")
    batches: list[tuple[int, int]] = []
    prefill = backend._pass.prefill

    def noted(prefixes: Any, shared_prefix: Any = None) -> Any:
        batches.append((len(prefixes), shared_prefix.length if shared_prefix else 0))
        return prefill(prefixes, shared_prefix)

    monkeypatch.setattr(backend._pass, "prefill", noted)
    planned(backend, PAIRS)
    shared = len(backend._prefixes._shared_ids)
    assert shared > 60
    assert batches == [(1, 0), (3, shared)]


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: …")],
    ids=["GPU", "CPU"],
)
def test_the_batch_budget_is_halved_when_memory_runs_out(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    backend = make(tokenizer, "llama", batch_tokens=600)
    expected = planned(backend, PAIRS)
    extend, tried = backend._pass.extend, []

    def narrow(states: Any, tails: Any, *, keep: bool) -> Any:
        tried.append(len(tails) * max(map(len, tails)))
        if tried[-1] > 200:
            raise error
        return extend(states, tails, keep=keep)

    monkeypatch.setattr(backend._pass, "extend", narrow)
    for result, reply in zip(planned(backend, PAIRS), expected, strict=True):
        assert result.value["logit"] == pytest.approx(reply.value["logit"], abs=1e-5)
    assert 50 < backend.batch_tokens <= 200
    assert backend.figures["batch_tokens"] == backend.batch_tokens
    tried.clear()
    planned(backend, PAIRS)
    assert max(tried) <= 200


def test_a_prompt_that_does_not_fit_in_memory_is_reported(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make(tokenizer, "llama")

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(backend._pass, "extend", full)
    with pytest.raises(ModelError, match="does not fit the device's memory; lower --max-tokens"):
        planned(backend, PAIRS)


def test_eager_attention_gives_the_same_scores_under_another_key(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = make(tokenizer, "llama")
    monkeypatch.setattr(usual.loaded.model.config, "_attn_implementation", "eager")
    eager = make(tokenizer, "llama")
    assert eager.fingerprint != usual.fingerprint
    for usual_reply, other in zip(
        planned(usual, PAIRS[:4]), planned(eager, PAIRS[:4]), strict=True
    ):
        assert usual_reply.value["logit"] == pytest.approx(other.value["logit"], abs=1e-5)


def test_long_query_is_refused_and_the_others_are_answered(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    backend = make(tokenizer, "llama", max_tokens=160)
    pairs = [("word " * 400, "d"), ("short", "word " * 400), ("short", "d")]
    refused, cut, uncut = planned(backend, pairs)
    assert refused.refusal is not None
    assert "at most 160 tokens" in refused.refusal
    assert cut.value["truncated"] is True
    assert uncut.value["truncated"] is False


def test_equal_pairs_get_equal_replies(tokenizer: PreTrainedTokenizerBase) -> None:
    backend = make(tokenizer, "llama")
    first, _, third = backend.answer([TASKS[0], TASKS[1], TASKS[0]])
    assert first == third


def test_damaged_weights_are_reported_instead_of_scored(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    backend = make(tokenizer, "llama")
    norm = torch.nn.RMSNorm(48)
    norm.weight.data.fill_(float("nan"))
    backend._pass._norm = norm  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="not finite numbers in"):
        backend.answer(TASKS[:1])


def test_the_cache_key_of_a_score_does_not_depend_on_text_settings(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    backend = make(tokenizer, "llama")
    tasks = [TASKS[0], TASKS[0]._replace(write_above=1.0)]
    tasks += [TASKS[0]._replace(max_new_tokens=9), TASKS[0]._replace(max_new_tokens=8)]
    tasks += [TASKS[0]._replace(max_new_tokens=9, write_above=1.0)]
    keys = [rerank_request(backend, task).key for task in tasks]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_the_fingerprint_covers_all_that_changes_replies(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    repaired = copy.deepcopy(tokenizer)
    repaired.add_tokens(["<new>"])
    prints = {
        make(tokenizer, "llama").fingerprint,
        make(tokenizer, "llama", max_tokens=99).fingerprint,
        make(repaired, "llama").fingerprint,
    }
    assert len(prints) == 3


def test_the_canary_checks_that_the_relevant_pair_scores_higher() -> None:
    class Fixed:
        def logits(self, pairs: Any) -> list[float]:
            assert list(pairs) == [RELEVANT, IRRELEVANT]
            return [-1.0, 2.0]

    assert canary_scores(Fixed()) == {"relevant": 0.2689, "irrelevant": 0.8808, "ok": False}


@pytest.mark.parametrize(
    ("relevant", "irrelevant", "ok", "message"),
    [
        (1.2, -3.3, True, None),
        (-2.0, -9.0, True, None),
        (9.0, 5.5, False, "does not clearly tell them apart"),
        (-9.15, -9.3, False, "scores 0.0001, an irrelevant one 0.0001: it does not clearly"),
        (-9.2, -12.0, False, "scores 0.0001, an irrelevant one 0: it does not clearly"),
        (0.5, 0.1, False, "scores 0.6225, an irrelevant one 0.525: it does not clearly"),
        (0.0, 0.0, False, "it does not clearly tell them apart"),
        (-1.0, 2.0, False, "another prompt profile"),
    ],
)
def test_canary_needs_a_margin(
    relevant: float, irrelevant: float, ok: bool, message: str | None
) -> None:
    result = canary_of(relevant, irrelevant)
    assert result["ok"] is ok
    warning = canary_warning("m", result)
    assert warning is None if message is None else warning and message in warning
