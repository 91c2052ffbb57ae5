"""A chat task on a chat model, as the engine asks it: one question a call."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from prism_cli.adapters.chat.batch_api import BatchApi
from prism_cli.adapters.chat.model import ChatModel, Completion
from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.domain.chat import ChatTask, Prompt, read_reply
from prism_cli.errors import ProviderError
from prism_cli.ports import BatchEndpoint, Reply, Usage


class ChatBackend(ProviderBackend):
    """A BatchableBackend; payloads are (the task's payload, attempt)."""

    single = True

    def __init__(self, model: ChatModel, task: ChatTask) -> None:
        super().__init__(model.ref)
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
            ProviderError, RefusalError, PrerequisiteError: as `ProviderClient.ask`.
        """
        ((payload, attempt),) = payloads
        prompt = self._task.prompt(payload, attempt)
        completion = await self._model.complete(prompt, attempt, self._lost)
        return [self._reply(payload, prompt, completion)]

    @cached_property
    def batch_endpoint(self) -> BatchEndpoint | None:
        """Where the provider takes batch files, if it does."""
        client = self._ref.client
        return BatchApi(client) if client.provider.batches else None

    @property
    def batch_share(self) -> float:
        """Price of a reply in a batch, as a share of a call's."""
        return self._model.batch_share

    def batch_line(self, payload: Any) -> dict[str, Any]:
        """The body that a call would send."""
        content, attempt = payload
        return self._model.body(self._task.prompt(content, attempt), attempt)

    def read_batch(self, payload: Any, status: int, body: bytes) -> Reply:
        """As `answer`, of a batch's reply; status 0: there was none, and `body` says why.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `json_of`.
        """
        if not status:
            client = self._ref.client
            raise ProviderError(f"{client.name}: {body.decode('utf-8', 'replace')}")
        content, attempt = payload
        prompt = self._task.prompt(content, attempt)
        completion = self._model.completed(prompt, attempt, status, body)
        return self._reply(content, prompt, completion)

    def _reply(self, payload: Any, prompt: Prompt, completion: Completion) -> Reply:
        said = completion.said
        if said.refusal is not None:
            return Reply({}, said.refusal, completion.usage)
        value = read_reply(
            self._task, payload, prompt, said.text, unfinished=said.unfinished, cut=said.cut
        )
        return Reply(value, usage=completion.usage)
