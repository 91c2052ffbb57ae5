"""Texts written pass by pass are those that are written at once."""

from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch

from prism_cli.adapters.runtimes.text_session import TextSession
from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker
from prism_cli.errors import ModelError
from prism_cli.ports import Reply, RerankTask

TASKS = [
    RerankTask(f"where is {name}?", f"{name} lies in the north. It is old.", 8 + number, -inf)
    for number, name in enumerate(["Ulm", "Bonn", "Jena", "Trier", "Worms"])
]


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> TransformersReranker:
    return load_reranker(str(tiny_reranker))


def ended(session: TextSession) -> dict[RerankTask, Reply]:
    replies: dict[RerankTask, Reply] = {}
    for _ in range(100):
        replies |= session.step()
    return replies


def texts(replies: list[Reply]) -> list[str]:
    return [reply.value["text"] for reply in replies]


def test_texts_that_join_later_are_the_same(reranker: TransformersReranker) -> None:
    session = reranker.text_session()
    assert session.add(TASKS[:2]) == {}
    replies = dict(session.step())
    assert session.add(TASKS[2:]) == {}
    replies |= ended(session)
    expected = reranker.answer(TASKS)
    assert texts([replies[task] for task in TASKS]) == texts(expected)
    for task, reply in zip(TASKS, expected, strict=True):
        assert replies[task].usage == reply.usage
        assert replies[task].value["logit"] == pytest.approx(reply.value["logit"], abs=1e-5)


def test_a_verdict_below_the_limit_is_answered_without_a_text(
    reranker: TransformersReranker,
) -> None:
    task = TASKS[0]._replace(write_above=inf)
    session = reranker.text_session()
    assert session.add([task])[task].value.keys() == {"logit", "truncated"}
    assert ended(session) == {}


def test_a_text_that_is_given_up_does_not_come_back(reranker: TransformersReranker) -> None:
    session = reranker.text_session()
    session.add(TASKS[:3])
    session.step()
    session.drop(TASKS[1])
    assert ended(session).keys() == {TASKS[0], TASKS[2]}


def test_texts_begin_again_half_at_a_time_when_memory_runs_out(
    reranker: TransformersReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = reranker.text_session()
    step = reranker.writer.decoder().step.__func__  # type: ignore[attr-defined]

    def limited(decoder: Any) -> bool:
        if len(decoder._live()) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to …")
        return bool(step(decoder))

    monkeypatch.setattr(type(reranker.writer.decoder()), "step", limited)
    session.add(TASKS)
    replies = ended(session)
    monkeypatch.undo()
    assert texts([replies[task] for task in TASKS]) == texts(reranker.answer(TASKS))


def test_one_text_that_does_not_fit_is_an_error(
    reranker: TransformersReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(decoder: Any) -> bool:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(type(reranker.writer.decoder()), "step", full)
    session = reranker.text_session()
    session.add(TASKS[:1])
    with pytest.raises(ModelError, match=r"one prompt of \d+ tokens does not fit"):
        session.step()
