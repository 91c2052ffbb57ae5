"""vLLM behind a server: tasks are answered as they come, and one that is given up is aborted."""

import asyncio
import threading
import uuid
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from functools import cache
from typing import Any

from prism_cli.adapters.runtimes.vllm_runtime import Asked, VllmReranker
from prism_cli.errors import ModelError
from prism_cli.generator_drivers import drive
from prism_cli.ports import Reply, RerankTask


class VllmEngine(VllmReranker):
    """A VllmReranker on an AsyncLLM, whose event loop runs in a thread of its own."""

    @classmethod
    def start(cls, **options: Any) -> tuple[Any, Any]:
        """Return the engine with these arguments, and its model's configuration."""
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        async def engine() -> Any:  # in the loop that will read its outputs
            return AsyncLLM.from_engine_args(AsyncEngineArgs(disable_log_stats=True, **options))

        llm = _in_loop(engine()).result()
        return llm, llm.model_config

    @property
    def failure(self) -> ModelError | None:
        """Why it answers nothing more: vLLM's process ended."""
        if not self._llm.errored:
            return None
        return ModelError(f"model {self.spec}: vLLM stopped; its log says why")

    async def reply(self, task: RerankTask) -> Reply:
        """Return the reply for a task, as `answer`; cancelling the call aborts it in vLLM.

        Raises:
            ModelError: the score is not finite, or vLLM stopped.
        """
        work = drive(self.steps([task]), self._completions)
        replies: list[Reply] = await asyncio.wrap_future(_in_loop(work))
        return replies[0]

    def close(self) -> None:
        """End vLLM's processes."""
        self._llm.shutdown()

    def generate(self, asked: Sequence[Asked]) -> list[Any]:
        """Return vLLM's greedy completion of each prompt, in order."""
        completions: list[Any] = _in_loop(self._completions(asked)).result()
        return completions

    async def _completions(self, asked: Sequence[Asked]) -> list[Any]:
        return await asyncio.gather(*(self._completion(*one) for one in asked))

    async def _completion(self, ids: list[int], options: dict[str, Any]) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            temperature=0.0, output_kind=RequestOutputKind.FINAL_ONLY, **options
        )
        outputs = self._llm.generate({"prompt_token_ids": ids}, params, uuid.uuid4().hex)
        async for output in outputs:  # cancelled here, vLLM aborts the request
            completion = output.outputs[0]
        return completion


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="vllm", daemon=True).start()
    return loop


def _in_loop(work: Coroutine[Any, Any, Any]) -> "Future[Any]":
    return asyncio.run_coroutine_threadsafe(work, _loop())
