"""Requests that share a model get the rankings of `Reranker.rank`."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from prism_cli import Reranker
from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker
from prism_cli.adapters.runtimes.windowed import WindowedReranker
from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.errors import RowError
from prism_cli.ports import Reply, RerankTask
from prism_cli.ranking import Ranking
from prism_cli.rows.caller_documents import caller_documents
from prism_cli.serving.model_queue import ModelQueue
from prism_cli.serving.ranker import Ranker
from prism_cli.serving.replies import log_figures
from prism_cli.serving.service import Service, Ticket
from tests.serving.fake_model import CountingModel

LONG = " ".join(f"Part {number} of the report is about the river." for number in range(60))
REQUESTS: list[tuple[str, list[Any]]] = [
    ("where is Ulm?", ["Ulm lies in the south.", {"title": "Bonn", "text": "It is old."}, " "]),
    ("which part is last?", [LONG, "Part 59 is the last.", {"text": LONG[:900], "doc_id": "a"}]),
    ("where is Ulm?", ["Ulm lies in the south.", "Jena"]),
]


@pytest.fixture(scope="module")
def runtime(tiny_reranker: Path) -> TransformersReranker:
    return load_reranker(str(tiny_reranker), device="cpu", max_tokens=260)


@pytest.mark.parametrize("evidence", [False, "model", "selected"])
def test_rankings_are_those_of_the_python_object(
    runtime: TransformersReranker, evidence: Any
) -> None:
    options: dict[str, Any] = {"evidence": bool(evidence), "threshold": 0.0, "max_new_tokens": 12}
    options["evidence_from"] = evidence or None
    expected = Reranker(runtime, warn=False).rank_many(REQUESTS, **options)

    observed: list[tuple[RerankTask, Reply]] = []

    async def observe(task: RerankTask, reply: Reply) -> None:
        observed.append((task, reply))

    async def served() -> list[Any]:
        queue = ModelQueue(runtime)
        queue.start()
        ranker = Ranker(WindowedReranker(runtime), queue)
        rankings = await asyncio.gather(
            *(
                ranker.rank(query, caller_documents(query, texts), RankOptions(**options), observe)
                for query, texts in REQUESTS
            )
        )
        await queue.close()
        assert queue.queued_bytes == 0
        return [one.results for one in rankings]

    for ours, theirs in zip(asyncio.run(served()), expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            for name in ("logit", "relevance_score"):
                assert one.pop(name) == pytest.approx(other.pop(name), abs=1e-5)
            assert one == other
    documents = {text.text for query, texts in REQUESTS for text in caller_documents(query, texts)}
    assert {task.document for task, _ in observed} <= documents, "parts are not shown"
    texts = [reply.value for task, reply in observed if task.max_new_tokens]
    assert bool(texts) == bool(evidence)
    assert all(("selected" in value) == (evidence == "selected") for value in texts)


def test_the_usage_of_a_request_has_the_tokens_of_scores_sentences_and_texts(
    runtime: TransformersReranker,
) -> None:
    queue = ModelQueue(runtime)

    async def served() -> tuple[Ranking, Ticket]:
        service = Service()
        await service.load(lambda: Ranker(WindowedReranker(runtime), queue))
        query, texts = "where is Ulm?", ["Ulm lies in the south. It is old. Jena is elsewhere."]
        options = RankOptions(threshold=0.0, max_new_tokens=4, evidence_from="selected")
        answer = await service.rank(query, caller_documents(query, texts), options)
        await service.close()
        return answer

    ranking, ticket = asyncio.run(served())
    assert queue.figures.pairs == 5, "the document, its three sentences, and the contribution"
    assert ticket.read == queue.figures.tokens_read > 0
    assert log_figures(ranking, ticket)["tokens"] == ticket.read


def test_a_long_document_is_split_beside_the_event_loop(runtime: TransformersReranker) -> None:
    class Slow(WindowedReranker):
        def steps(self, task: RerankTask) -> Any:
            time.sleep(1)
            return (yield from super().steps(task))

    async def served() -> float:
        queue = ModelQueue(runtime)
        queue.start()
        query = "why " * 8_000
        try:
            work = asyncio.create_task(
                Ranker(Slow(runtime), queue).rank(
                    query, caller_documents(query, ["a"]), RankOptions()
                )
            )
            pauses = []
            while not work.done():
                started = time.monotonic()
                await asyncio.sleep(0.01)
                pauses.append(time.monotonic() - started)
            with pytest.raises(RowError):
                await work
            return max(pauses)
        finally:
            await queue.close()

    assert asyncio.run(served()) < 1


class WatchedSteps(CountingModel):
    """A model whose documents are split; the splitting is watched."""

    def __init__(self, watch: Callable[[RerankTask], None]) -> None:
        super().__init__()
        self.watch = watch

    def steps(self, task: RerankTask) -> Any:
        self.watch(task)
        (reply,) = yield [task]
        return reply


def test_many_documents_are_split_beside_the_event_loop() -> None:
    in_loop: list[int] = []

    def watch(task: RerankTask) -> None:
        if threading.get_ident() == loop_thread:
            in_loop.append(len(task.document))

    async def served() -> None:
        service, model = Service(), WatchedSteps(watch)
        await service.load(lambda: Ranker(model, ModelQueue(model)))
        documents = caller_documents("q", [f"{number} " + "x" * 2_000 for number in range(100)])
        ranked, _ = await service.rank("q", documents, RankOptions(evidence=False))
        assert len(ranked.results) == 100
        await service.close()

    loop_thread = threading.get_ident()
    asyncio.run(served())
    assert 0 < sum(in_loop) <= 20_000


def test_a_small_request_waits_for_no_large_one_that_is_split() -> None:
    begun, gate = threading.Event(), threading.Event()

    def watch(task: RerankTask) -> None:
        if len(task.document) > 20_000:
            begun.set()
            assert gate.wait(60)

    async def served() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        service, model = Service(), WatchedSteps(watch)
        await service.load(lambda: Ranker(model, ModelQueue(model)))
        options = RankOptions(evidence=False)
        texts = [f"{number} " + "x" * 20_000 for number in range(10)]
        large = asyncio.create_task(service.rank("q", caller_documents("q", texts), options))
        while not begun.is_set():
            await asyncio.sleep(0)
        small = asyncio.create_task(service.rank("q", caller_documents("q", ["a"]), options))
        await asyncio.wait([small], timeout=20)
        answered = small.done()
        gate.set()
        await asyncio.gather(large, small)
        await service.close()
        assert answered

    asyncio.run(served())


def test_a_query_too_long_for_the_prompt_is_refused(runtime: TransformersReranker) -> None:
    async def served() -> None:
        queue = ModelQueue(runtime)
        queue.start()
        query = "why " * 400
        try:
            await Ranker(WindowedReranker(runtime), queue).rank(
                query, caller_documents(query, ["a"]), RankOptions()
            )
        finally:
            await queue.close()

    with pytest.raises(RowError, match="at most 260 tokens"):
        asyncio.run(served())


def test_each_reply_is_observed_and_a_cancelled_request_leaves_nothing(
    runtime: TransformersReranker,
) -> None:
    async def served() -> None:
        queue = ModelQueue(runtime)
        queue.start()
        ranker = Ranker(WindowedReranker(runtime), queue)
        observed: list[tuple[RerankTask, Reply]] = []
        first = asyncio.Event()

        async def observe(task: RerankTask, reply: Reply) -> None:
            observed.append((task, reply))
            first.set()

        documents = [f"{LONG[:500]} {number}" for number in range(200)]
        call = asyncio.create_task(
            ranker.rank("why?", caller_documents("why?", documents), RankOptions(), observe)
        )
        await first.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert queue.queued_bytes == 0
        await ranker.rank("why?", caller_documents("why?", ["short"]), RankOptions(evidence=False))
        assert 0 < len(observed) < 200
        await queue.close()

    asyncio.run(served())
