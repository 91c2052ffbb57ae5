"""A chat task on a chat model, as the engine asks it: one question a call."""

from collections.abc import Sequence
from typing import Any

from prism_cli.adapters.chat.model import ChatModel
from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.domain.chat import ChatTask, UnusableReplyError
from prism_cli.ports import Reply, Usage


class ChatBackend(ProviderBackend):
    """A CallBackend; payloads are (the task's payload, attempt)."""

    def __init__(self, model: ChatModel, task: ChatTask) -> None:
        super().__init__(model.named)
        self._model = model
        self._task = task
        self.fingerprint = f"{task.name} {task.fingerprint} {model.fingerprint}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """One question a call."""
        return [[index] for index in range(len(payloads))]

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Tokens and cost of one question, its answer at its longest."""
        ((payload, attempt),) = payloads
        return self._model.estimate(self._task.prompt(payload, attempt), attempt)

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """The task's value, {"unusable": why}, or a refusal: all were paid for, and are kept.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `Channel.ask`.
        """
        ((payload, attempt),) = payloads
        prompt = self._task.prompt(payload, attempt)
        completion = await self._model.complete(prompt, attempt, self._losses)
        if completion.refusal is not None:
            return [Reply({}, completion.refusal, completion.usage)]
        try:
            value = self._task.read(payload, completion.text)
        except UnusableReplyError as error:
            value = {"unusable": str(error)}
        return [Reply(value, usage=completion.usage)]
