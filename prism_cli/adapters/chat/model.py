"""A chat model behind an OpenAI-compatible server."""

from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from math import ceil
from typing import Any

import httpx2
import orjson

from prism_cli.adapters.chat.choice import Answer, read_choice
from prism_cli.adapters.providers.client import LostCalls
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.replies import count_at, parse_json
from prism_cli.domain.chat import WORD_TOKENS, Prompt
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.ports import Usage

_OVERHEAD_TOKENS = 16
"""Tokens of the chat template around two messages."""
_RECENT_ANSWERS = 32
"""Answers over which the mean length runs, at most."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Answer of a chat model and its cost, which is billed whatever the answer."""

    answer: Answer
    usage: Usage


class ChatModel:
    """Chat model behind an OpenAI-compatible server."""

    def __init__(self, ref: ModelRef) -> None:
        self.ref = ref
        self._client, self._card = ref.client, ref.card
        self._answer_share, self._answers = 1.0, 1
        """Running mean of the share that answers take of the longest allowed answer, which counts
        as the first one, and their number."""

    @property
    def fingerprint(self) -> str:
        """The model's spec and a digest of the settings that it is sent; not the address, as the
        same model at another address is the same judge."""
        card = self._card.model_dump(
            include={"answer_tokens", "takes_temperature", "tokens_parameter", "extra_body"}
        )
        settings = orjson.dumps(card, option=orjson.OPT_SORT_KEYS)
        return f"{self.ref.spec} {sha256(settings).hexdigest()[:16]}"

    def estimate(self, prompt: Prompt, attempt: int = 0) -> Usage:
        """Return the estimated tokens and cost of a call with the longest allowed answer."""
        tokens = estimate_tokens(prompt.system) + estimate_tokens(prompt.user) + _OVERHEAD_TOKENS
        return self._usage(tokens, self._answer_tokens(prompt, attempt), None)

    async def complete(self, prompt: Prompt, attempt: int, lost: LostCalls) -> Completion:
        """Return the model's answer; count lost calls in `lost`. The call is paced by the length of
        recent answers, and then counts with its own.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `ProviderClient.ask`.
        """
        send = partial(self._client.post, "chat/completions", self.body(prompt, attempt))
        estimate = self.estimate(prompt, attempt)

        def read(reply: Any) -> Completion:
            return self._completion(reply, prompt, attempt, estimate)

        longest = max(estimate.output_tokens, 1)
        expected = longest

        def tokens() -> int:
            nonlocal expected
            expected = ceil(self._answer_share * longest)
            return estimate.input_tokens + expected

        completion = await self._client.ask(send, read, tokens, lost)
        answered = min(completion.usage.output_tokens, longest)
        self._client.pacer.settle(expected, answered)
        self._answers = min(self._answers + 1, _RECENT_ANSWERS)
        self._answer_share += (answered / longest - self._answer_share) / self._answers
        return completion

    def body(self, prompt: Prompt, attempt: int = 0) -> dict[str, Any]:
        """Return the JSON that `complete` sends."""
        body: dict[str, Any] = {
            "model": self.ref.model,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            self._card.tokens_parameter: self._answer_tokens(prompt, attempt),
            "stream": False,
        }
        if self._card.takes_temperature:
            body["temperature"] = prompt.temperature
        return body | self._card.extra_body

    def completed(self, prompt: Prompt, attempt: int, status: int, raw: bytes) -> Completion:
        """Return the completion in a batch's reply to `body`, at the batch's price.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `parse_json`.
        """
        reply = parse_json(httpx2.Response(status, content=raw))
        estimate = self.estimate(prompt, attempt)
        completion = self._completion(reply, prompt, attempt, estimate)
        return replace(completion, usage=completion.usage.at(self._card.batch_price_factor))

    def _completion(self, reply: Any, prompt: Prompt, attempt: int, estimate: Usage) -> Completion:
        bound = self._answer_tokens(prompt, attempt)
        word = prompt.answer_tokens is None and bound <= WORD_TOKENS
        return Completion(read_choice(reply, bound, word=word), self._used(reply, estimate))

    def _answer_tokens(self, prompt: Prompt, attempt: int) -> int:
        word = self._card.answer_tokens[min(attempt, len(self._card.answer_tokens) - 1)]
        if prompt.answer_tokens is None:
            return word
        return prompt.answer_tokens + word - 1  # reasoning tokens precede any answer

    def _used(self, reply: Any, estimate: Usage) -> Usage:
        """Return the usage in the reply, else the estimate; also where a server says 0 tokens."""
        usage = reply.get("usage")
        if not isinstance(usage, dict):
            return estimate
        inputs, outputs = count_at(usage, "prompt_tokens"), count_at(usage, "completion_tokens")
        if not inputs:
            inputs, outputs = estimate.input_tokens, outputs or estimate.output_tokens
        if outputs is None:
            outputs = estimate.output_tokens
        return self._usage(inputs, outputs, usage.get("cost"))

    def _usage(self, inputs: int, outputs: int, cost: object) -> Usage:
        if not self.ref.priced and isinstance(cost, int | float) and cost >= 0:
            return Usage(inputs, outputs, float(cost))  # OpenRouter reports it
        return Usage(inputs, outputs, self._card.usd(inputs, outputs))
