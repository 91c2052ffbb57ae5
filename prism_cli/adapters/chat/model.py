"""A chat model behind an OpenAI-compatible server."""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import httpx2
import orjson

from prism_cli.adapters.chat.choice import Said, said_in
from prism_cli.adapters.providers.client import LostCalls
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import count_in, json_of
from prism_cli.domain.chat import WORD_TOKENS, Prompt
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.ports import Usage

_OVERHEAD_TOKENS = 16
"""Of the chat form around two messages."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a chat model said, and what it cost: it is billed whatever it says."""

    said: Said
    usage: Usage


class ChatModel:
    """Asks one model of one provider."""

    def __init__(self, ref: ModelRef) -> None:
        self.ref = ref
        self._client, self._card = ref.client, ref.card

    @property
    def fingerprint(self) -> str:
        """Which model, and all of its card that reaches it. Not the address: the same model at
        another address is the same judge."""
        card = self._card.model_dump(
            include={"answer_tokens", "takes_temperature", "tokens_parameter", "extra_body"}
        )
        whole = orjson.dumps(card, option=orjson.OPT_SORT_KEYS)
        return f"{self.ref.spec} {sha256(whole).hexdigest()[:16]}"

    def estimate(self, prompt: Prompt, attempt: int = 0) -> Usage:
        """Tokens and cost, the answer at its longest."""
        given = estimate_tokens(prompt.system) + estimate_tokens(prompt.user) + _OVERHEAD_TOKENS
        return self._usage(given, self._answer_tokens(prompt, attempt), None)

    async def complete(self, prompt: Prompt, attempt: int, lost: LostCalls) -> Completion:
        """The model's answer; `lost` counts calls that were lost on the way.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `ProviderClient.ask`.
        """
        sent = self.body(prompt, attempt)

        async def send() -> httpx2.Response:
            return await self._client.post("chat/completions", sent)

        thought = self.estimate(prompt, attempt)

        def read(found: Any) -> Completion:
            return self._completion(found, prompt, attempt, thought)

        tokens = thought.input_tokens + thought.output_tokens
        return await self._client.ask(send, read, tokens, lost)

    def body(self, prompt: Prompt, attempt: int = 0) -> dict[str, Any]:
        """The JSON that `complete` sends."""
        sent: dict[str, Any] = {
            "model": self.ref.model,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            self._card.tokens_parameter: self._answer_tokens(prompt, attempt),
            "stream": False,
        }
        if self._card.takes_temperature:
            sent["temperature"] = prompt.temperature
        return sent | self._card.extra_body

    def completed(self, prompt: Prompt, attempt: int, status: int, raw: bytes) -> Completion:
        """A batch's reply to that body, at the batch's price.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `json_of`.
        """
        found = json_of(httpx2.Response(status, content=raw))
        thought = self.estimate(prompt, attempt)
        completion = self._completion(found, prompt, attempt, thought)
        return replace(completion, usage=completion.usage.at(self.batch_share))

    @property
    def batch_share(self) -> float:
        """Price of a reply in a batch, as a share of a call's."""
        return self._card.batch_price_factor

    def _completion(self, found: Any, prompt: Prompt, attempt: int, thought: Usage) -> Completion:
        bound = self._answer_tokens(prompt, attempt)
        word = prompt.answer_tokens is None and bound <= WORD_TOKENS
        return Completion(said_in(found, bound, word=word), self._used(found, thought))

    def _answer_tokens(self, prompt: Prompt, attempt: int) -> int:
        word = self._card.answer_tokens[min(attempt, len(self._card.answer_tokens) - 1)]
        if prompt.answer_tokens is None:
            return word
        return prompt.answer_tokens + word - 1  # what a model thinks comes before any answer

    def _used(self, found: Any, thought: Usage) -> Usage:
        """What the reply says was used, else what was thought."""
        told = found.get("usage")
        if not isinstance(told, dict):
            return thought
        given, answered = count_in(told, "prompt_tokens"), count_in(told, "completion_tokens")
        return self._usage(
            thought.input_tokens if given is None else given,
            thought.output_tokens if answered is None else answered,
            told.get("cost"),
        )

    def _usage(self, given: int, answered: int, cost: object) -> Usage:
        if not self._card.priced and isinstance(cost, int | float) and cost >= 0:
            return Usage(given, answered, float(cost))  # OpenRouter tells it
        return Usage(given, answered, self._card.usd(given, answered))
