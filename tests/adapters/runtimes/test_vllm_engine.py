"""vLLM behind a server, with a fake; the real engine is in test_vllm_runtime."""

import asyncio
import sys
from collections.abc import AsyncIterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from prism_cli.adapters.runtimes.vllm_engine import VllmEngine
from prism_cli.adapters.runtimes.vllm_runtime import VllmReranker
from prism_cli.adapters.runtimes.windowed import WindowedReranker
from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.errors import ModelError
from prism_cli.generator_drivers import in_step
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.ports import RerankTask
from prism_cli.ranking import ranking
from prism_cli.rows.caller_documents import caller_documents
from prism_cli.serving import engine_queue
from prism_cli.serving.engine_queue import EngineQueue
from prism_cli.serving.ranker import Ranker
from tests.adapters.runtimes.test_vllm_runtime import LONG, TASKS, PlainLLM
from tests.modeling.tiny import tiny_model


class PlainAsyncLLM:
    """vllm's AsyncLLM: outputs of PlainLLM, one request after another.

    Attributes:
        begun, aborted: numbers of requests.
        held: while it is set, no request ends.
        closed: its processes were ended.
    """

    def __init__(self, llm: PlainLLM) -> None:
        self.llm = llm
        self.errored = False
        self.begun = self.aborted = 0
        self.held = self.closed = False
        self.ids: set[str] = set()

    def shutdown(self) -> None:
        self.closed = True

    async def generate(
        self, prompt: Any, sampling_params: Any, request_id: str
    ) -> AsyncIterator[Any]:
        assert sampling_params.output_kind == "final"
        assert request_id not in self.ids
        self.ids.add(request_id)
        self.begun += 1
        try:
            await asyncio.sleep(0)
            while self.held:
                await asyncio.sleep(0.001)
            if self.errored:
                raise RuntimeError("engine core died")
            params = SimpleNamespace(**vars(sampling_params))
            (output,) = self.llm.generate([prompt], [params], use_tqdm=False)
            yield output
        except asyncio.CancelledError:
            self.aborted += 1
            raise


@pytest.fixture
def engine(tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch) -> VllmEngine:
    module: Any = ModuleType("vllm")
    module.SamplingParams = SimpleNamespace
    parameters: Any = ModuleType("vllm.sampling_params")
    parameters.RequestOutputKind = SimpleNamespace(FINAL_ONLY="final")
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", parameters)
    llm = PlainAsyncLLM(PlainLLM(tiny_model("llama", vocabulary=49_152), tokenizer))
    encoder = PromptEncoder(tokenizer, PRISM_NO_THINK, 160)
    return VllmEngine(llm, encoder, "tiny", "rerank f", {})


def batched(engine: VllmEngine) -> VllmReranker:
    return VllmReranker(engine._llm.llm, engine.encoder, "tiny", "rerank f", {})


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


def test_replies_are_those_of_the_batch_engine(engine: VllmEngine) -> None:
    tasks = [task._replace(write_above=-1e9) if task.max_new_tokens else task for task in TASKS]
    tasks.append(RerankTask(LONG, "d", 3))
    expected = batched(engine).answer(tasks)
    assert engine.answer(tasks) == expected

    async def one_by_one() -> Any:
        return await asyncio.gather(*map(engine.reply, tasks))

    assert run(one_by_one()) == expected
    pairs = [(task.query, task.document) for task in TASKS[:2]]
    assert engine.logits(pairs) == batched(engine).logits(pairs)


def test_rankings_through_the_queue_are_those_of_the_batch_engine(engine: VllmEngine) -> None:
    runtime = WindowedReranker(engine)
    query, options = "why", RankOptions(threshold=0.0, max_new_tokens=3)
    documents = caller_documents(query, ["It is old.", LONG + "It is old.", " ", "Paris."])

    async def served() -> Any:
        queue = EngineQueue(engine)
        queue.start()
        try:
            return await Ranker(runtime, queue).rank(query, documents, options)
        finally:
            assert queue.queued_bytes == 0
            assert queue.figures.pairs > 6
            assert queue.figures.tokens_written
            await queue.close()

    work = ranking(runtime, query, documents, options, scores_first=True)
    expected = in_step(
        {0: work},
        lambda requests: WindowedReranker(batched(engine)).answer([r.payload for r in requests]),
    )
    assert run(served()) == expected[0]


def test_a_cancelled_task_is_aborted_and_another_takes_its_room(
    engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def served() -> None:
        monkeypatch.setattr(engine_queue, "_FIRST_RATE", 400.0)  # two pairs at a time
        queue = EngineQueue(engine)
        queue.start()
        engine._llm.held = True
        many = [
            asyncio.create_task(queue.answer("many", RerankTask("why", f"{n}"))) for n in range(9)
        ]
        await asyncio.sleep(0.05)
        assert engine._llm.begun == 2
        few = asyncio.create_task(queue.answer("few", RerankTask("why", "few")))
        for task in many[:1]:
            task.cancel()
        await asyncio.sleep(0.05)
        assert (engine._llm.aborted, engine._llm.begun) == (1, 3)
        for task in many:
            task.cancel()
        engine._llm.held = False
        assert (await few).value["logit"]
        await asyncio.gather(*many, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert queue.queued_bytes == 0
        assert engine._llm.begun <= 5, "requests take turns, and what is given up is not begun"
        await queue.close()

    run(served())


def test_an_engine_that_died_fails_requests_and_the_queue(engine: VllmEngine) -> None:
    async def served() -> None:
        queue = EngineQueue(engine)
        queue.start()
        assert engine.failure is None
        engine._llm.errored = True
        with pytest.raises(ModelError):
            await queue.answer("one", TASKS[3])
        assert "vLLM stopped" in str(await queue.failed)
        await queue.close()

    run(served())


def test_closing_gives_up_what_runs(engine: VllmEngine) -> None:
    async def served() -> None:
        queue = EngineQueue(engine)
        queue.start()
        engine._llm.held = True
        waiting = asyncio.create_task(queue.answer("one", TASKS[3]))
        await asyncio.sleep(0.05)
        await queue.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.05)
        assert engine._llm.aborted == 1
        assert engine._llm.closed

    run(served())
