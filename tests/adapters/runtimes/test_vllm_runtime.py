"""vLLM as engine: prism's side with a fake, and the real engine where vllm is installed."""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prism_cli.adapters.runtimes.transformers_runtime import load_reranker
from prism_cli.adapters.runtimes.vllm_engine import VllmEngine
from prism_cli.adapters.runtimes.vllm_runtime import VllmReranker, load_vllm_reranker
from prism_cli.adapters.runtimes.windowed import WindowedReranker
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.errors import MissingPackageError, ModelError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.ports import RerankTask
from tests.modeling.tiny import tiny_model

LONG = "word " * 400
TASKS = [
    RerankTask("where is Paris?", "Paris lies on the Seine.", 12),
    RerankTask("why", "It is old.", 5),
    RerankTask("where is Paris?", "It is old.", 12, float("inf")),
    RerankTask("where is Paris?", "It is old."),
    RerankTask("why", LONG, 3),
]


@dataclass
class PlainLLM:
    """vllm.LLM.generate, done by transformers one text at a time."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    asked: list[tuple[list[int], dict[str, Any]]] = field(default_factory=list)

    def generate(
        self, prompts: Sequence[Any], sampling_params: Sequence[Any], *, use_tqdm: bool
    ) -> list[Any]:
        assert not use_tqdm
        outputs = []
        for prompt, params in zip(prompts, sampling_params, strict=True):
            assert set(prompt) == {"prompt_token_ids"}
            self.asked.append((prompt["prompt_token_ids"], vars(params)))
            outputs.append(SimpleNamespace(outputs=[self._one(prompt["prompt_token_ids"], params)]))
        return outputs

    def _one(self, ids: list[int], params: Any) -> Any:
        assert params.temperature == 0.0
        stops = getattr(params, "stop_token_ids", [])
        start, logprobs = len(ids), []
        ids = list(ids)
        while len(ids) < start + params.max_tokens:
            with torch.inference_mode():
                row = self.model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
            ids.append(int(row.argmax()))
            token_ids = [ids[-1], *getattr(params, "logprob_token_ids", [])]
            logprobs.append(
                {token_id: SimpleNamespace(logprob=float(row[token_id])) for token_id in token_ids}
            )
            text = self.tokenizer.decode(ids[start:])
            if ids[-1] in stops or any(stop in text for stop in getattr(params, "stop", [])):
                break
        return SimpleNamespace(token_ids=ids[start:], logprobs=logprobs)


@pytest.fixture
def reranker(tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch) -> VllmReranker:
    module: Any = ModuleType("vllm")
    module.SamplingParams = SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", module)
    llm = PlainLLM(tiny_model("llama", vocabulary=49_152), tokenizer)
    encoder = PromptEncoder(tokenizer, PRISM_NO_THINK, 160)
    return VllmReranker(llm, encoder, "tiny", "rerank f", {})


def test_scores_are_the_difference_of_the_verdict_logits(reranker: VllmReranker) -> None:
    encoder, model = reranker.encoder, reranker._llm.model
    for task, reply in zip(TASKS, reranker.answer(TASKS), strict=True):
        with torch.inference_mode():
            ids = encoder.encode(task.query, task.document).ids
            row = model(torch.tensor([ids])).logits[0, -1]
        expected = float(row[encoder.yes_id] - row[encoder.no_id])
        assert reply.value["logit"] == pytest.approx(expected, abs=1e-5)
        assert reply.value["truncated"] == (task.document is LONG)


def test_long_documents_are_read_in_windows(reranker: VllmReranker) -> None:
    windowed = WindowedReranker(reranker)
    assert windowed.answer(TASKS[:4]) == reranker.answer(TASKS[:4])
    document = LONG + "It is old. Paris lies on the Seine."
    task = RerankTask("why", document, 3, -1e9)
    (reply,) = windowed.answer([task])
    best = reply.value["best_windows"]
    assert reply.value["windows"] == len(best) > 2
    assert not reply.value["truncated"]
    for start, end, logit in best:
        part = RerankTask("why", document[start:end])
        assert reranker.answer([part])[0].value["logit"] == pytest.approx(logit, abs=1e-5)
    assert reply.value["logit"] == max(logit for _, _, logit in best)
    ((start, end, text),) = reply.value["texts"]
    assert [start, end] == reply.value["best_window"]
    assert text.startswith("yes")


def test_selected_sentences_are_those_with_the_best_scores(reranker: VllmReranker) -> None:
    sentences = ["Paris lies on the Seine.", "It is old.", "A cow is there."]
    task = RerankTask("where is Paris?", " ".join(sentences), 4, -1e9, selects=True)
    (reply,) = WindowedReranker(reranker).answer([task])
    scored = reranker.answer([RerankTask("where is Paris?", text) for text in sentences])
    best = max(zip(scored, sentences, strict=True), key=lambda one: one[0].value["logit"])[1]
    assert best in [task.document[start:end] for start, end in reply.value["selected"]]
    ((_, params),) = [one for one in reranker._llm.asked if "stop" in one[1]]
    assert params["stop"] == ["</contribution>"]
    assert reply.value["text"].startswith("yes")


def test_texts_are_written_for_requested_rows_after_yes(reranker: VllmReranker) -> None:
    above = [task._replace(write_above=-1e9) if task.max_new_tokens else task for task in TASKS]
    above[2] = TASKS[2]
    replies = reranker.answer(above)
    assert ["text" in reply.value for reply in replies] == [True, True, False, False, True]
    texts = [ids for ids, params in reranker._llm.asked if "stop" in params]
    encoder = reranker.encoder
    assert texts == [
        [*encoder.encode(task.query, task.document).ids, encoder.yes_id]
        for task, reply in zip(above, replies, strict=True)
        if "text" in reply.value
    ]
    for task, reply in zip(above, replies, strict=True):
        assert reply.usage.output_tokens <= task.max_new_tokens
        if "text" in reply.value:
            assert reply.value["text"].startswith("yes")


def test_a_text_ends_after_the_evidence(
    reranker: VllmReranker, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tokenizer.encode("\n<evidence>why</evidence>\n\nmore")
    monkeypatch.setattr(
        reranker._llm,
        "_one",
        lambda _ids, _params: SimpleNamespace(
            token_ids=[*written, reranker.encoder.eos_id],
            logprobs=[{token_id: SimpleNamespace(logprob=0.0) for token_id in range(49_152)}],
        ),
    )
    (reply,) = reranker.answer([RerankTask("q", "d", 40, -1.0)])
    assert reply.value["text"] == "yes\n<evidence>why</evidence>"
    assert reply.usage.output_tokens == len(written)


def test_plan_keeps_a_querys_pairs_together(reranker: VllmReranker) -> None:
    tasks = [RerankTask(f"query {number % 7}", str(number)) for number in range(1100)]
    batches = reranker.plan(tasks)
    assert sorted(index for batch in batches for index in batch) == list(range(1100))
    assert [len(batch) for batch in batches] == [512, 512, 76]
    queries = [tasks[index].query for batch in batches for index in batch]
    assert sum(a != b for a, b in itertools.pairwise(queries)) == 6


def test_query_too_long_is_refused(reranker: VllmReranker) -> None:
    refused, other = reranker.answer([RerankTask(LONG, "d", 3), TASKS[3]])
    assert refused.refusal is not None
    assert "at most 160 tokens" in refused.refusal
    assert other.refusal is None


def test_scores_that_are_not_numbers_are_reported(reranker: VllmReranker) -> None:
    reranker._llm.model.get_output_embeddings().weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        reranker.answer(TASKS[:1])


def test_without_vllm_the_install_command_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingPackageError, match=r"prism-cli\[local,vllm\]"):
        load_vllm_reranker("hf:smollm2")


def test_adapter_is_sent_to_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("vllm")
    module.LLM = None
    monkeypatch.setitem(sys.modules, "vllm", module)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"prism export .* -o DIR"):
        load_vllm_reranker(str(tmp_path))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # vllm's own
@pytest.mark.parametrize("kind", [VllmReranker, VllmEngine])
def test_vllm_answers_as_transformers_does(
    model_cache: Path, monkeypatch: pytest.MonkeyPatch, kind: type[VllmReranker]
) -> None:
    pytest.importorskip("vllm")
    monkeypatch.setenv("XDG_CACHE_HOME", str(model_cache))
    options: dict[str, Any] = {"dtype": "float32", "max_tokens": 160}
    ours = load_reranker("hf:smollm2", **options)
    theirs = load_vllm_reranker(
        "hf:smollm2", max_new_tokens=16, enforce_eager=True, kind=kind, **options
    )
    for plain, reply in zip(ours.answer(TASKS), theirs.answer(TASKS), strict=True):
        assert reply.value["logit"] == pytest.approx(plain.value["logit"], abs=1e-4)
        assert reply.value.get("text") == plain.value.get("text")
        assert reply.usage == plain.usage
