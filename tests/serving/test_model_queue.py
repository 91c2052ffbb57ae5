"""The queue in front of a model: turns, joining, cancellation, failures; with a counting model."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from prism_cli.errors import ModelError
from prism_cli.ports import Reply, RerankTask
from prism_cli.serving.model_queue import ModelQueue
from tests.serving.fake_model import CountingModel, CountingSession


@asynccontextmanager
async def running(model: Any, **options: int) -> AsyncIterator[ModelQueue]:
    queue = ModelQueue(model, **options)
    queue.start()
    try:
        yield queue
    finally:
        model.gate.set()
        await queue.close()


async def held(model: CountingModel, queue: ModelQueue) -> asyncio.Task[Reply]:
    """Let the model wait within a round of one task."""
    model.gate.clear()
    model.entered.clear()
    first = asyncio.create_task(queue.answer("first", RerankTask("q", "first")))
    await asyncio.to_thread(model.entered.wait, 60)
    return first


def documents(name: str, count: int, size: int = 1) -> list[RerankTask]:
    return [RerankTask("q", f"{name} {number} " + "x" * size) for number in range(count)]


async def started(queue: ModelQueue, owner: str, tasks: list[RerankTask]) -> asyncio.Future[Any]:
    future = asyncio.gather(*(queue.answer(owner, task) for task in tasks))
    await asyncio.sleep(0)
    return future


def run(work: Any) -> None:
    asyncio.run(asyncio.wait_for(work, 120))


def test_a_round_takes_one_task_of_each_request_in_turn() -> None:
    async def work() -> None:
        model = CountingModel()
        async with running(model) as queue:
            first = await held(model, queue)
            many = await started(queue, "many", documents("many", 100, 500))
            few = await started(queue, "few", documents("few", 2, 500))
            model.gate.set()
            await asyncio.gather(first, few)
            order = [task.document[:6] for one in model.rounds for task in one][1:]
            assert order[:4] == ["many 0", "few 0 ", "many 1", "few 1 "]
            assert len(model.rounds[1]) <= 4, "a round is bounded before its time is measured"
            assert len(await many) == 100

    run(work())


def test_equal_tasks_are_computed_once_whoever_asks() -> None:
    async def work() -> None:
        model = CountingModel()
        async with running(model) as queue:
            first = await held(model, queue)
            tasks = documents("same", 3)
            answers = [await started(queue, name, tasks) for name in ("a", "b", "c")]
            again = asyncio.create_task(queue.answer("d", RerankTask("q", "first")))
            await asyncio.sleep(0)
            model.gate.set()
            assert (await answers[0]) == (await answers[1]) == (await answers[2])
            assert await again == await first
            assert sum(map(len, model.rounds)) == 4
        assert queue.queued_bytes == 0

    run(work())


def test_small_requests_are_answered_between_the_passes_of_texts() -> None:
    async def work() -> None:
        model = CountingModel()
        async with running(model) as queue:
            text = asyncio.create_task(queue.answer("texts", RerankTask("q", "yes", 10_000)))
            await asyncio.to_thread(model.entered.wait, 60)
            await queue.answer("small", RerankTask("q", "small"))
            assert not text.done()
            text.cancel()

    run(work())


def test_texts_join_those_that_are_being_written_up_to_the_limit() -> None:
    async def work() -> None:
        model = CountingModel()
        async with running(model, max_texts=2) as queue:
            texts = [RerankTask("q", f"yes {number}", 50 + number) for number in range(4)]
            replies = await asyncio.gather(*(queue.answer("one", text) for text in texts))
            assert replies == [model.written(one) for one in texts]
            assert [len(one) for one in model.joined] in ([1, 1, 1, 1], [2, 1, 1])
            assert model.log.count("pass") < 53 + 53, "two at a time"
            no = await queue.answer("one", RerankTask("q", "no text", 50))
            assert "text" not in no.value

    run(work())


def test_a_cancelled_request_is_read_no_further_and_leaves_nothing() -> None:
    async def work() -> None:
        model = CountingModel()
        async with running(model) as queue:
            first = await held(model, queue)
            gone = await started(queue, "gone", documents("gone", 50))
            shared = await started(queue, "stays", documents("gone", 1))
            gone.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            model.gate.set()
            await asyncio.gather(first, shared)
            assert [len(one) for one in model.rounds] == [1, 1]
            assert queue.queued_bytes == 0

    run(work())


def test_a_text_that_nobody_waits_for_is_given_up_and_can_be_asked_again() -> None:
    async def work() -> None:
        model = CountingModel()
        task = RerankTask("q", "yes", 10_000)
        async with running(model) as queue:
            text = asyncio.create_task(queue.answer("gone", task))
            await asyncio.to_thread(model.entered.wait, 60)
            text.cancel()
            await queue.answer("other", RerankTask("q", "small"))
            await queue.answer("other", RerankTask("q", "small 2"))
            assert model.dropped == [task]
            again = task._replace(max_new_tokens=3)
            assert await queue.answer("again", again) == model.written(again)
            assert queue.queued_bytes == 0

    run(work())


def test_a_failing_model_fails_the_requests_of_its_round_and_goes_on() -> None:
    async def work() -> None:
        model = CountingModel()
        async with running(model) as queue:
            model.fails = "out of memory"
            for task in (RerankTask("q", "score"), RerankTask("q", "yes", 5)):
                with pytest.raises(ModelError, match="out of memory"):
                    await queue.answer("one", task)
            model.fails = None
            assert "logit" in (await queue.answer("one", RerankTask("q", "score"))).value
            assert "text" in (await queue.answer("one", RerankTask("q", "yes", 5))).value
            assert queue.queued_bytes == 0

    run(work())


def test_a_text_of_which_the_reading_failed_may_still_end() -> None:
    class Half(CountingSession):
        def add(self, tasks: Sequence[RerankTask]) -> Mapping[RerankTask, Reply]:
            super().add(tasks)
            if tasks[0].document == "bad yes":
                raise MemoryError
            return {}

    async def work() -> None:
        model = CountingModel()
        model.text_session = lambda: Half(model)  # type: ignore[method-assign]
        async with running(model) as queue:
            model.gate.clear()
            good = asyncio.create_task(queue.answer("good", RerankTask("q", "yes", 50)))
            await asyncio.to_thread(model.entered.wait, 60)
            bad = await started(queue, "bad", [RerankTask("q", "bad yes", 2)])
            model.gate.set()
            with pytest.raises(ModelError, match="MemoryError"):
                await bad
            assert "text" in (await good).value

    run(work())


def test_a_queue_whose_thread_ends_says_so() -> None:
    async def work() -> None:
        model = CountingModel()
        model.dropped = None  # type: ignore[assignment]
        async with running(model) as queue:
            text = asyncio.create_task(queue.answer("one", RerankTask("q", "yes", 100_000)))
            await asyncio.sleep(0.05)
            text.cancel()
            assert "AttributeError" in str(await asyncio.wait_for(queue.failed, 20))

    run(work())


def test_closing_cancels_what_waits() -> None:
    async def work() -> None:
        model = CountingModel()
        async with running(model) as queue:
            first = await held(model, queue)
            waiting = await started(queue, "waits", documents("waits", 3))
            model.gate.set()
            await queue.close()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.gather(first, return_exceptions=True)

    run(work())
