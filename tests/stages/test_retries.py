"""Concurrent requests of several generators."""

from collections.abc import Generator, Sequence
from typing import Any

from prism_cli.ports import Reply, Request, request
from prism_cli.stages.retries import gather
from tests.fakes import ScriptedBatch

Asking = Generator[Sequence[Request], Sequence[Reply], str]


def asking(name: str, *counts: int) -> Asking:
    """Asks `counts` questions at a time; returns what it was told."""
    told = []
    for turn, count in enumerate(counts):
        questions = [f"{name}{turn}{number}" for number in range(count)]
        replies = yield [request(ScriptedBatch(), one, one) for one in questions]
        told += [reply.value["said"] for reply in replies]
    return " ".join(told)


def answered(work: Generator[Sequence[Request], Sequence[Reply], list[str]]) -> Any:
    """(what was asked at each turn, the result)."""
    turns, asked = [], next(work)
    while True:
        turns.append([one.payload for one in asked])
        try:
            asked = work.send([Reply({"said": one.payload}) for one in asked])
        except StopIteration as end:
            return turns, end.value


def test_each_gets_its_own_replies_and_all_ask_at_once() -> None:
    turns, found = answered(
        gather([asking("a", 2, 1), asking("b"), asking("c", 1), asking("d", 0, 2, 1)])
    )
    assert turns == [["a00", "a01", "c00"], ["a10", "d10", "d11"], ["d20"]]
    assert found == ["a00 a01 a10", "", "c00", "d10 d11 d20"]
