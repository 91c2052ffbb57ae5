"""Backend for a chat task on a provider's chat model: one question per call."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from prism_cli.adapters.chat.batch_api import BatchApi
from prism_cli.adapters.chat.model import ChatModel, Completion
from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.batch_ports import BatchEndpoint
from prism_cli.domain.chat import ChatTask, Prompt, read_reply
from prism_cli.errors import ProviderError
from prism_cli.ports import Reply, Usage


class ChatBackend(ProviderBackend):
    """A BatchableBackend; payloads are (the task's payload, attempt)."""

    def __init__(self, model: ChatModel, task: ChatTask) -> None:
        super().__init__(model.ref)
        self._model = model
        self._task = task
        self.batch_share = model.ref.card.batch_price_factor
        self.fingerprint = f"{task.name} {task.fingerprint} {model.fingerprint}"

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Return the maximum tokens and cost of one question."""
        ((payload, attempt),) = payloads
        return self._model.estimate(self._task.prompt(payload, attempt), attempt)

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return the task's value, {"unusable": reason}, or a refusal; all are billed."""
        ((payload, attempt),) = payloads
        prompt = self._task.prompt(payload, attempt)
        completion = await self._model.complete(prompt, attempt, self._lost)
        return [self._reply(payload, prompt, completion)]

    @cached_property
    def batch_endpoint(self) -> BatchEndpoint | None:
        """The provider's batch API; None if it has none."""
        client = self._ref.client
        return BatchApi(client) if client.provider.batches else None

    def batch_line(self, payload: Any) -> dict[str, Any]:
        """Return the body that a call would send."""
        content, attempt = payload
        return self._model.body(self._task.prompt(content, attempt), attempt)

    def read_batch(self, payload: Any, status: int, body: bytes) -> Reply:
        """Return the reply of a batch as `answer` does; status 0: no reply, `body` has the reason.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `parse_json`.
        """
        if not status:
            client = self._ref.client
            raise ProviderError(f"{client.name}: {body.decode('utf-8', 'replace')}")
        content, attempt = payload
        prompt = self._task.prompt(content, attempt)
        try:
            completion = self._model.completed(prompt, attempt, status, body)
        except ProviderError as error:
            self._lost.count += error.billed
            raise
        return self._reply(content, prompt, completion)

    def _reply(self, payload: Any, prompt: Prompt, completion: Completion) -> Reply:
        answer = completion.answer
        if answer.refusal is not None:
            return Reply({}, answer.refusal, completion.usage)
        value = read_reply(
            self._task, payload, prompt, answer.text, unfinished=answer.unfinished, cut=answer.cut
        )
        return Reply(value, usage=completion.usage)
