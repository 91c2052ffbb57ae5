"""Admission of requests: what they have left to read, and the speed that the queue measures."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.errors import RowError
from prism_cli.ports import Reply
from prism_cli.rows.caller_documents import caller_documents
from prism_cli.serving import model_queue, service
from prism_cli.serving.model_queue import ModelQueue
from prism_cli.serving.ranker import Ranker
from prism_cli.serving.service import QueueFullError, Service
from tests.serving.fake_model import CountingModel

DOCUMENTS = [f"{number} " + "x" * 1_000 for number in range(400)]


class TimedModel(CountingModel):
    """A model with a time of its own: a second for each pass, for 10,000 bytes of documents and for
    10,000 bytes of new queries."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.queries: set[str] = set()

    def answer(self, tasks: Any) -> list[Reply]:
        new = {task.query for task in tasks} - self.queries
        self.queries |= new
        read = sum(100 + len(task.document) for task in tasks) + sum(map(len, new))
        self.seconds += 1 + read / 10_000
        return super().answer(tasks)


class Loaded:
    """A service with a TimedModel, for `async with`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.model, self.service = TimedModel(), Service()
        self.queue = ModelQueue(self.model)
        if monkeypatch:
            clock = SimpleNamespace(perf_counter=lambda: self.model.seconds)
            monkeypatch.setattr(model_queue, "time", clock)

    async def __aenter__(self) -> "Loaded":
        await self.service.load(lambda: Ranker(self.model, self.queue))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.model.gate.set()
        await self.service.close()

    async def rank(self, query: str, documents: list[str]) -> None:
        given = caller_documents(query, documents)
        await self.service.rank(query, given, RankOptions(evidence=False))

    async def held(self, query: str, documents: list[str]) -> "asyncio.Task[None]":
        """Begin a request; the model waits within its first round."""
        self.model.gate.clear()
        self.model.entered.clear()
        work = asyncio.create_task(self.rank(query, documents))
        await asyncio.to_thread(self.model.entered.wait, 60)
        return work


def run(work: Any) -> None:
    asyncio.run(asyncio.wait_for(work, 120))


def test_small_requests_do_not_lower_the_measured_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with Loaded(monkeypatch) as loaded:
            loaded.queue._round_bytes = 20_000
            for number in range(40):
                await loaded.rank("q", [f"small {number}"])
            assert loaded.queue._round_bytes == 20_000
            await loaded.rank("q", DOCUMENTS)
            assert loaded.queue._round_bytes < 4_000, "full rounds do"

    run(work())


def test_pairs_that_are_refused_do_not_raise_the_measured_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        async with Loaded(monkeypatch) as loaded:
            before = loaded.queue.bytes_per_second
            monkeypatch.setattr(
                loaded.model, "answer", lambda tasks: [Reply({}, "too long") for _ in tasks]
            )
            with pytest.raises(RowError, match="too long"):
                await loaded.rank("q", DOCUMENTS)
            assert loaded.queue.bytes_per_second == before

    run(work())


def test_admission_and_speed_count_the_same_bytes() -> None:
    async def work() -> None:
        async with Loaded() as loaded:
            first = await loaded.held("y" * 5_000, DOCUMENTS)
            (ticket,) = loaded.service.tickets
            size = 5_000 + sum(100 + len(one) for one in DOCUMENTS)
            assert ticket.left == loaded.queue.queued_bytes == size
            loaded.model.gate.set()
            await first
            assert ticket.left == loaded.queue.queued_bytes == 0
            assert not loaded.queue._queries

    run(work())


def test_a_request_whose_pairs_are_refused_gives_its_bytes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        async with Loaded() as loaded:
            answer = loaded.model.answer
            monkeypatch.setattr(
                loaded.model, "answer", lambda tasks: [Reply({}, "too long") for _ in answer(tasks)]
            )
            refused = await loaded.held("y" * 5_000, DOCUMENTS)
            (ticket,) = loaded.service.tickets
            assert ticket.left == loaded.queue.queued_bytes > 400_000
            loaded.model.gate.set()
            with pytest.raises(RowError, match="too long"):
                await refused
            assert ticket.left == loaded.queue.queued_bytes == 0
            assert not loaded.queue._queries
            assert not loaded.service.tickets

    run(work())


def test_a_long_query_does_not_raise_the_measured_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with Loaded(monkeypatch) as loaded:
            await loaded.rank("y" * 5_000, DOCUMENTS)
            assert loaded.queue.bytes_per_second < 10_000

    run(work())


def test_queries_count_towards_the_bytes_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_QUEUED_BYTES", 5_000)

    async def work() -> None:
        async with Loaded() as loaded:
            first = await loaded.held("q", ["held"])
            with pytest.raises(QueueFullError):
                await loaded.rank("y" * 5_000, ["a"])
            loaded.model.gate.set()
            await first

    run(work())
