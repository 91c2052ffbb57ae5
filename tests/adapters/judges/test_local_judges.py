"""Local judges: probabilities of two words, and a teacher's score against a threshold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from prism_cli.adapters.chat.local_model import LocalModel
from prism_cli.adapters.judges.local import load_local_judge
from prism_cli.adapters.judges.local_judge import LocalJudge
from prism_cli.adapters.judges.teacher_judge import TeacherJudge
from prism_cli.domain.rubric import JudgeTask
from prism_cli.domain.voting import mean_verdict
from prism_cli.errors import ModelError, UsageError
from prism_cli.ports import BatchBackend, Reply
from tests.adapters.chat.tiny_chat import tiny_chat

TASK = JudgeTask("Say yes or no.")
PAIRS = [((f"where is city {n}?", "It lies on a river. " * (1 + n % 3)), 0) for n in range(7)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, small_tokenizer: Path) -> LocalModel:
    return LocalModel(f"hf:{tiny_chat(tmp_path_factory.mktemp('judge'), small_tokenizer)}", "cpu")


def test_probability_is_the_softmax_over_both_words_in_both_spellings(model: LocalModel) -> None:
    judge = LocalJudge(model, TASK)
    assert isinstance(judge, BatchBackend)
    assert judge.gives_probability
    words = [[model.tokenizer.convert_tokens_to_ids(token) for token in pair]
             for pair in (("yes", "Yes"), ("no", "No"))]  # fmt: skip
    replies: dict[int, Reply] = {}
    for batch in judge.plan(PAIRS):
        replies.update(zip(batch, judge.answer([PAIRS[index] for index in batch]), strict=True))
    for index, (pair, _) in enumerate(PAIRS):
        prompt = TASK.prompt(pair, 0)
        ids = model.encoder.encode(prompt.system, prompt.user).ids
        with torch.inference_mode():
            probabilities = model.model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
        yes, no = (float(probabilities[ids].sum()) for ids in words)
        value = replies[index].value
        assert value["probability"] == pytest.approx(yes / (yes + no), abs=2e-5)
        assert value["vote"] == ("yes" if value["probability"] > 0.5 else "no")
        assert judge.answer([PAIRS[index]])[0].value["probability"] == pytest.approx(
            value["probability"], abs=1e-5
        )


def test_a_long_document_is_truncated_and_the_question_stays_complete(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = LocalJudge(model, TASK)
    batches: list[list[int]] = []
    extend = model.extend
    monkeypatch.setattr(
        model, "extend", lambda prompts, keep: batches.extend(p.ids for p in prompts)
        or extend(prompts, keep=keep),
    )  # fmt: skip
    # Three ways of being too long: in words, in bytes that the tokenizer spells, in fence signs.
    documents = ["word " * 4000, "鬱" * 1500, "<<<>>> " * 900]
    replies = judge.answer([(("query", document), 0) for document in documents])
    assert all(reply.value["vote"] in ("yes", "no") for reply in replies)
    for ids in batches:
        assert 1900 < len(ids) <= 2048
        text = model.tokenizer.decode(ids)
        assert text.endswith("one word: yes or no.<|im_end|>\n<|im_start|>assistant\n")
        assert "<<<end of document" in text


def test_a_query_that_leaves_no_room_is_an_abstention(model: LocalModel) -> None:
    ((reply),) = LocalJudge(model, TASK).answer([(("word " * 3000, "short"), 0)])
    assert reply.refusal is not None
    assert "leaves none" in reply.refusal


def test_a_tokenizer_that_splits_yes_cannot_judge(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.encoder, "single", lambda word: None if word[0] in "yY" else 5)
    with pytest.raises(ModelError, match="single tokens"):
        LocalJudge(model, TASK)


class Scorer:
    """Teacher that reads its score from the document."""

    spec = "st:fake"
    fingerprint = "fake 1"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return [list(range(len(payloads)))[::-1]]

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        return [Reply({"score": float(document)}) for _, document in payloads]


def test_a_score_above_the_threshold_is_a_yes() -> None:
    judge = TeacherJudge("st:fake:0.4", Scorer(), 0.4)
    payloads = [(("q", text), 0) for text in ("0.401", "0.4", "0.1")]
    assert judge.plan(payloads) == [[2, 1, 0]]
    assert [reply.value for reply in judge.answer(payloads)] == [
        {"vote": "yes", "probability": 0.5008333},
        {"vote": "no", "probability": 0.5},
        {"vote": "no", "probability": 0.125},
    ]
    assert judge.fingerprint != TeacherJudge("st:fake:0.5", Scorer(), 0.5).fingerprint


def test_specs_of_teachers_as_judges() -> None:
    pair = (("capital of France", "Paris is the capital of France."), 0)
    strict, plain = (load_local_judge(spec, TASK) for spec in ("st:minilm:0.99", "st:minilm"))
    assert (strict.spec, plain.spec) == ("st:minilm:0.99", "st:minilm")
    assert strict.answer([pair])[0].value["vote"] == "no"
    assert plain.answer([pair])[0].value["vote"] == "yes"
    with pytest.raises(UsageError, match="threshold"):
        load_local_judge("st:minilm:1.5", TASK)
    with pytest.raises(ModelError):
        load_local_judge("st:/no/such", TASK)


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, 0.5, 0.6, 0.95])
def test_hard_and_soft_votes_of_one_teacher_are_the_same(threshold: float) -> None:
    judge = TeacherJudge("st:fake", Scorer(), threshold)
    scores = [0.0, *(threshold + step * 1e-6 for step in (-1, 0, 1) if threshold + step > 0), 1.0]
    replies = judge.answer([(("q", f"{score:.6f}"), 0) for score in scores])
    for score, reply in zip(scores, replies, strict=True):
        hard = "yes" if round(score, 6) > threshold else "no"
        soft = mean_verdict({"st:fake": reply.value["probability"]}, ["st:fake"])
        assert reply.value["vote"] == hard == soft
