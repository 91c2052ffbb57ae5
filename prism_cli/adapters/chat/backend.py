"""A chat task on a chat model, as the engine asks it: one question a call."""

from collections.abc import Sequence
from typing import Any

from prism_cli.adapters.chat.model import ChatModel
from prism_cli.domain.chat import ChatTask, UnusableReplyError
from prism_cli.ports import Reply, Usage


class ChatBackend:
    """A CallBackend; payloads are (the task's payload, attempt)."""

    def __init__(self, model: ChatModel, task: ChatTask) -> None:
        self._model = model
        self._task = task
        self.spec = model.spec
        self.fingerprint = f"{task.name} {task.fingerprint} {model.fingerprint}"
        self.terms = model.terms
        self.concurrency = model.channel.provider.concurrency

    @property
    def lost_calls(self) -> int:
        """Calls that ended without a reply and may have been billed."""
        return self._model.losses.count

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """One question a call."""
        return [[index] for index in range(len(payloads))]

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Tokens and cost of one question, its answer at its longest."""
        ((payload, attempt),) = payloads
        return self._model.estimate(self._task.prompt(payload, attempt), attempt)

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """The task's value, or {"unusable": why}: such a reply was paid for, and is kept.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `Channel.ask`.
        """
        ((payload, attempt),) = payloads
        completion = await self._model.complete(self._task.prompt(payload, attempt), attempt)
        try:
            value = self._task.read(payload, completion.text)
        except UnusableReplyError as error:
            value = {"unusable": str(error)}
        return [Reply(value, usage=completion.usage)]

    async def close(self) -> None:
        """Close the provider's connections."""
        await self._model.channel.close()
