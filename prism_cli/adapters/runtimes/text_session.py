"""Texts of a reranker that are written pass by pass, so that other work can run in between."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch

from prism_cli.adapters.runtimes.batch_budget import out_of_memory
from prism_cli.adapters.runtimes.text_writer import TextWriter
from prism_cli.modeling.decoding import Generation, Part
from prism_cli.modeling.encode import EncodedPrompt
from prism_cli.modeling.memory_errors import is_out_of_memory
from prism_cli.modeling.prefix_cache import BatchCache
from prism_cli.ports import Reply, RerankTask

Rows = list[list[int]]
Batch = tuple[list[int], list[float], BatchCache | None, list[int]]
Read = Callable[[list[RerankTask], list[EncodedPrompt], Rows], dict[RerankTask, Reply]]


class Reader(Protocol):
    """The parts of TransformersReranker that a session uses."""

    writer: TextWriter

    def prompts(
        self, payloads: Sequence[RerankTask]
    ) -> tuple[list[RerankTask], list[EncodedPrompt], dict[RerankTask, Reply]]: ...

    def read(
        self, tasks: list[RerankTask], prompts: list[EncodedPrompt], batches: Rows
    ) -> Iterator[Batch]: ...

    def reply(self, prompt: EncodedPrompt, logit: float, text: Generation | None) -> Reply: ...

    def within_memory(
        self, tasks: list[RerankTask], prompts: list[EncodedPrompt], run: Read
    ) -> dict[RerankTask, Reply]: ...

    def kernels(self) -> AbstractContextManager[None]: ...


class _Open(NamedTuple):
    prompt: EncodedPrompt
    logit: float
    text: Generation


class TextSession:
    """Texts of a TransformersReranker that are written together; more can join between passes.

    When memory runs out, the texts are begun again, half as many at a time.
    """

    def __init__(self, runtime: Reader) -> None:
        self._runtime = runtime
        self._decoder = runtime.writer.decoder()
        self._open: dict[RerankTask, _Open] = {}
        self._held: list[RerankTask] = []
        self._most = sys.maxsize

    def add(self, tasks: Sequence[RerankTask]) -> dict[RerankTask, Reply]:
        """Read the prompts of tasks; return the replies of those that get no text."""
        self._held += tasks
        return self._join()

    @torch.inference_mode()
    def step(self) -> dict[RerankTask, Reply]:
        """Continue all texts by one pass; return the replies of those that ended.

        Raises:
            ModelError: a single text does not fit the device's memory.
        """
        replies = self._join()
        try:
            with self._runtime.kernels():
                self._decoder.step()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(self._open) == 1:
                raise out_of_memory(len(next(iter(self._open.values())).prompt)) from error
            self._most = len(self._open) // 2
            self._held = [*self._open, *self._held]
            self._open.clear()
            self._decoder = self._runtime.writer.decoder()
            torch.cuda.empty_cache()
            return replies
        for task, one in list(self._open.items()):
            if one.text.ended:
                del self._open[task]
                replies[task] = self._runtime.reply(one.prompt, one.logit, one.text)
        return replies

    @torch.inference_mode()
    def _join(self) -> dict[RerankTask, Reply]:
        """Read prompts of held tasks while there is room."""
        room = self._most - len(self._open)
        joining, self._held = self._held[:room], self._held[room:]
        if not joining:
            return {}
        accepted, prompts, replies = self._runtime.prompts(joining)
        with self._runtime.kernels():
            return replies | self._runtime.within_memory(accepted, prompts, self._read)

    def drop(self, task: RerankTask) -> None:
        """Give up a text."""
        if task in self._held:
            self._held.remove(task)
        elif one := self._open.pop(task, None):
            one.text.ended = True

    def _read(
        self, tasks: list[RerankTask], prompts: list[EncodedPrompt], batches: list[list[int]]
    ) -> dict[RerankTask, Reply]:
        runtime = self._runtime
        scored: dict[int, float] = {}
        parts: list[Part] = []
        writing: list[int] = []
        for batch, logits, state, wanted in runtime.read(tasks, prompts, batches):
            scored |= zip(batch, logits, strict=True)
            if state is not None:
                parts.append((state, range(len(wanted))))
                writing += wanted
        texts = [
            runtime.writer.text(prompts[row], tasks[row].max_new_tokens, tasks[row].selects)
            for row in writing
        ]
        if parts:  # after all batches, so that a repetition for lack of memory adds none twice
            self._decoder.add(parts, texts)
        for row, text in zip(writing, texts, strict=True):
            self._open[tasks[row]] = _Open(prompts[row], scored.pop(row), text)
        return {
            tasks[row]: runtime.reply(prompts[row], logit, None) for row, logit in scored.items()
        }
