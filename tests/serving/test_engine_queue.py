"""The queue in front of an engine: measured speed, and admission by it; waiting takes no time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

import pytest

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.errors import PrismError, RowError
from prism_cli.ports import Reply, RerankTask, Usage
from prism_cli.rows.caller_documents import caller_documents
from prism_cli.serving import engine_queue, task_queue
from prism_cli.serving.engine_queue import EngineQueue
from prism_cli.serving.ranker import Ranker
from prism_cli.serving.service import QueueFullError, Service
from tests.fake_clock import FakeClock
from tests.serving.fake_model import CountingModel

REFUSED = "long"
"""Query whose pairs are refused, each after REFUSED_SECONDS."""
REFUSED_SECONDS = 0.01


class SerialEngine:
    """An engine that reads pairs one after another.

    Attributes:
        seconds: of each pair, whose document has 900 bytes.
    """

    failure = None

    def __init__(self) -> None:
        self.seconds = 0.5
        self._turn = asyncio.Lock()

    async def reply(self, task: RerankTask) -> Reply:
        if task.query == REFUSED:
            await asyncio.sleep(REFUSED_SECONDS)
            return Reply({}, "too long")
        async with self._turn:
            await asyncio.sleep(self.seconds)
        return Reply({"logit": 1.0, "truncated": False}, usage=Usage(10))

    def close(self) -> None: ...


class Loaded:
    """A service with the engine, whose measured speed is 2 pairs (2,000 bytes) a second."""

    def __init__(self) -> None:
        self.engine, self.service = SerialEngine(), Service()
        self.queue = EngineQueue(self.engine)
        self._begun = 0

    async def load(self) -> "Loaded":
        await self.service.load(lambda: Ranker(CountingModel(), self.queue))  # type: ignore[arg-type]
        await self.begin(20)
        assert self.queue.bytes_per_second == pytest.approx(2_000, rel=0.01)
        return self

    def begin(
        self, pairs: int, query: str = "q", timeout: float | None = None
    ) -> "asyncio.Task[str]":
        """Begin a request; its result is "answered", or the name of its error."""
        self._begun += 1
        texts = [f"{self._begun} {number}".ljust(900, "x") for number in range(pairs)]

        async def outcome() -> str:
            documents, options = caller_documents(query, texts), RankOptions(evidence=False)
            try:
                await self.service.rank(query, documents, options, timeout=timeout)
            except (PrismError, RowError) as error:
                return type(error).__name__
            return "answered"

        return asyncio.create_task(outcome())


Run = Callable[[Callable[[Loaded], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    async def inline(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def run(work: Callable[[Loaded], Coroutine[Any, Any, None]]) -> None:
        async def loaded() -> None:
            one = await Loaded().load()
            await work(one)
            await one.service.close()

        monkeypatch.setattr(asyncio, "to_thread", inline)
        with closing(FakeClock(monkeypatch, engine_queue, task_queue)) as clock:
            clock.run_until_complete(loaded())

    return run


async def outcomes(requests: list["asyncio.Task[str]"]) -> Counter[str]:
    return Counter(await asyncio.gather(*requests))


def test_pairs_that_are_refused_do_not_raise_the_measured_speed(run: Run) -> None:
    async def work(loaded: Loaded) -> None:
        assert await loaded.begin(500, REFUSED) == "RowError"
        assert loaded.queue.bytes_per_second == pytest.approx(2_000, rel=0.01)

    run(work)


def test_time_of_refused_pairs_does_not_lower_the_measured_speed(run: Run) -> None:
    async def work(loaded: Loaded) -> None:
        for _ in range(100):
            await loaded.begin(20, REFUSED)
        assert loaded.queue.figures.busy_seconds > 10 + 1
        many = loaded.begin(20)
        await asyncio.sleep(0.75)
        assert loaded.queue.bytes_per_second == pytest.approx(2_000, rel=0.01)
        assert await many == "answered"

    run(work)


def test_requests_at_once_are_answered_although_pairs_take_a_little_longer(run: Run) -> None:
    async def work(loaded: Loaded) -> None:
        loaded.engine.seconds = 0.525
        found = await outcomes([loaded.begin(17) for _ in range(12)])
        assert found == {"answered": 6, "QueueFullError": 6}

    run(work)


def test_twice_the_load_leaves_the_engine_busy_with_requests_that_are_answered(run: Run) -> None:
    async def work(loaded: Loaded) -> None:
        requests = []
        for _ in range(60):
            requests.append(loaded.begin(10))
            await asyncio.sleep(2.5)
        found = await outcomes(requests)
        assert found["DeadlineError"] == 0
        assert found["answered"] >= 30, "5 s each, in 150 s"

    run(work)


def test_small_requests_are_admitted_beside_a_large_one_that_is_just_in_time(run: Run) -> None:
    async def work(loaded: Loaded) -> None:
        large = loaded.begin(117)
        await asyncio.sleep(1)
        small = [loaded.begin(1) for _ in range(2)]
        assert await outcomes(small) == {"answered": 2}
        assert await large == "answered"

    run(work)


def test_a_burst_of_small_requests_leaves_room_for_others(run: Run) -> None:
    async def work(loaded: Loaded) -> None:
        burst = [loaded.begin(1) for _ in range(100)]
        loaded.engine.seconds = 0.55
        later = []
        for _ in range(20):
            await asyncio.sleep(2.5)
            later.append(loaded.begin(1))
        assert await outcomes(later) == {"answered": 20}
        assert await outcomes(burst) == {"answered": 100}

    run(work)


def test_a_request_that_would_make_another_late_is_sent_again_when_that_one_is_done(
    run: Run,
) -> None:
    async def work(loaded: Loaded) -> None:
        first = loaded.begin(40, timeout=42)
        await asyncio.sleep(1)
        again = caller_documents("q", ["x" * 900] * 41)
        with pytest.raises(QueueFullError) as refused:
            await loaded.service.rank("q", again, RankOptions(evidence=False))
        await asyncio.sleep(refused.value.retry_after)
        assert first.done()
        assert await first == "answered"
        assert await loaded.begin(41) == "answered"

    run(work)


def test_a_request_that_is_late_anyway_keeps_no_other_out(run: Run) -> None:
    async def work(loaded: Loaded) -> None:
        late = loaded.begin(40, timeout=10)
        await asyncio.sleep(1)
        assert await loaded.begin(40) == "answered"
        assert await late == "DeadlineError"

    run(work)
