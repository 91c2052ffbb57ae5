"""Concurrent requests of several generators."""

from collections.abc import Generator, Sequence
from typing import Any

from prism_cli.ports import Reply, Request, request
from prism_cli.stages.retries import gather
from tests.fakes import ScriptedBatch

Asking = Generator[Sequence[Request], Sequence[Reply], str]


def asking(name: str, *counts: int) -> Asking:
    """Ask `counts` questions at a time; return the replies."""
    texts = []
    for turn, count in enumerate(counts):
        questions = [f"{name}{turn}{number}" for number in range(count)]
        replies = yield [request(ScriptedBatch(), question, question) for question in questions]
        texts += [reply.value["said"] for reply in replies]
    return " ".join(texts)


def answered(work: Generator[Sequence[Request], Sequence[Reply], list[str]]) -> Any:
    """Return (the requests of each turn, the result)."""
    turns, requests = [], next(work)
    while True:
        turns.append([item.payload for item in requests])
        try:
            requests = work.send([Reply({"said": item.payload}) for item in requests])
        except StopIteration as end:
            return turns, end.value


def test_concurrent_generators_get_their_own_replies() -> None:
    turns, replies = answered(
        gather([asking("a", 2, 1), asking("b"), asking("c", 1), asking("d", 0, 2, 1)])
    )
    assert turns == [["a00", "a01", "c00"], ["a10", "d10", "d11"], ["d20"]]
    assert replies == ["a00 a01 a10", "", "c00", "d10 d11 d20"]
