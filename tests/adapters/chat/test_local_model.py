"""Chat tasks on a tiny random model: batches and kills change nothing, sampling has a seed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from prism_cli.adapters.chat.local_model import LocalChat, LocalModel
from prism_cli.domain.chat import WORD_TOKENS, Prompt, UnusableReplyError
from prism_cli.errors import ModelError
from prism_cli.ports import BatchBackend, Reply
from tests.adapters.chat.tiny_chat import tiny_chat


class Echo:
    """Echo the payload as prompt; every reply is accepted, except one marked as unusable."""

    name = "echo"
    fingerprint = "1"
    temperature = 0.0
    unusable = False
    answer_tokens: int | None = None

    def prompt(self, payload: Any, attempt: int) -> Prompt:
        return Prompt("You are brief.", payload, self.answer_tokens, self.temperature)

    def read(self, payload: Any, text: str) -> dict[str, Any]:
        if self.unusable:
            raise UnusableReplyError("not wanted")
        return {"text": text}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_tokenizer: Path) -> Path:
    return tiny_chat(tmp_path_factory.mktemp("chat"), small_tokenizer)


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalModel:
    return LocalModel(f"hf:{folder}", "cpu")


QUESTIONS = [("where is Paris? " * number, 0) for number in range(1, 8)]


def planned(chat: LocalChat, payloads: list[tuple[str, int]]) -> list[Reply]:
    replies: dict[int, Reply] = {}
    for batch in chat.plan(payloads):
        answers = chat.answer([payloads[index] for index in batch])
        replies.update(zip(batch, answers, strict=True))
    return [replies[index] for index in range(len(payloads))]


def test_greedy_tokens_do_not_depend_on_the_batch(model: LocalModel) -> None:
    chat = LocalChat(model, Echo())
    assert isinstance(chat, BatchBackend)
    together = planned(chat, QUESTIONS)
    assert together == [chat.answer([question])[0] for question in QUESTIONS]
    ids = model.encoder.encode("You are brief.", QUESTIONS[2][0]).ids
    written: list[int] = []
    with torch.inference_mode():
        for _ in range(WORD_TOKENS):
            token = int(model.model(torch.tensor([ids + written])).logits[0, -1].argmax())
            if token in model.ends.stops:
                break
            written.append(token)
    assert together[2].value["text"] == model.tokenizer.decode(written, skip_special_tokens=True)
    assert together[2].usage.input_tokens == len(ids)
    assert together[2].usage.output_tokens == len(written)


def test_an_answer_ends_at_a_stop(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = LocalChat(model, Echo())
    with torch.inference_mode():
        logits, _ = model.extend([model.encoder.encode("You are brief.", "now?")], keep=False)
    monkeypatch.setattr(model.ends, "stops", {int(logits[0].argmax())})
    (reply,) = chat.answer([("now?", 0)])
    assert (reply.value, reply.usage.output_tokens) == ({"text": ""}, 0)


def test_a_text_that_reaches_its_token_limit_is_unusable(model: LocalModel) -> None:
    task = Echo()
    task.answer_tokens = 5
    (reply,) = LocalChat(model, task).answer([("now?", 0)])
    assert reply.value == {"unusable": "cut at the bound of 5 tokens"}


def test_sampling_is_repeatable_and_differs_between_attempts(model: LocalModel) -> None:
    task = Echo()
    task.temperature = 1.0
    chat = LocalChat(model, task)
    first = planned(chat, QUESTIONS)
    assert (
        first == planned(chat, QUESTIONS) == [chat.answer([question])[0] for question in QUESTIONS]
    )
    assert first != planned(chat, [(text, 1) for text, _ in QUESTIONS])
    assert first != planned(LocalChat(model, Echo()), QUESTIONS)


def test_unusable_answers_and_too_long_questions_are_reported(model: LocalModel) -> None:
    task = Echo()
    task.unusable = True
    chat = LocalChat(model, task)
    long = ("word " * 3000, 0)
    assert chat.plan([long, *QUESTIONS[:2]])[-1] == [0]
    refused, unusable = chat.answer([long, QUESTIONS[0]])
    assert refused.refusal is not None
    assert "2040" in refused.refusal
    assert unusable.value == {"unusable": "not wanted, cut at 8 tokens"}


def test_the_fingerprint_depends_on_the_weights_without_loading_them(
    folder: Path, tmp_path: Path, small_tokenizer: Path
) -> None:
    chat_model = LocalModel(f"hf:{folder}", "cpu")
    other = LocalModel(f"hf:{tiny_chat(tmp_path / 'other', small_tokenizer, 'qwen3')}", "cpu")
    assert "model" not in vars(chat_model)
    assert chat_model.fingerprint == LocalModel(f"hf:{folder}", "cpu").fingerprint
    assert chat_model.fingerprint != other.fingerprint
    assert LocalChat(chat_model, Echo()).fingerprint != chat_model.fingerprint


def test_the_fingerprint_covers_tokenizer_and_chat_template(folder: Path, tmp_path: Path) -> None:
    def fingerprint(name: str, change: Callable[[Path], object]) -> str:
        copy = shutil.copytree(folder, tmp_path / name)
        change(copy)
        return LocalChat(LocalModel(f"hf:{copy}", "cpu"), Echo()).fingerprint

    def lose_a_merge(copy: Path) -> None:
        state = json.loads((copy / "tokenizer.json").read_bytes())
        state["model"]["merges"].pop()
        (copy / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")

    def change_the_template(copy: Path) -> None:
        path = copy / "chat_template.jinja"
        path.write_text(path.read_text() + "\n", encoding="utf-8")

    plain = fingerprint("plain", lambda copy: None)
    assert plain == LocalChat(LocalModel(f"hf:{folder}", "cpu"), Echo()).fingerprint
    assert len({plain, fingerprint("a", lose_a_merge), fingerprint("b", change_the_template)}) == 3


def test_a_reranker_of_prism_is_refused_with_its_base_as_the_chat_model() -> None:
    with pytest.raises(ModelError, match=r"hf:prism-tiny: an adapter .* its base hf:smollm2"):
        LocalModel("hf:prism-tiny", "cpu")
