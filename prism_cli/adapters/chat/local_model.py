"""A chat model in this process, by its own chat template."""

import random
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from prism_cli.adapters.runtimes.batch_plan import plan_batches
from prism_cli.domain.chat import WORD_TOKENS, ChatTask, Prompt, read_reply
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.chat_encode import ChatEncoder
from prism_cli.modeling.decoding import Generation, StopRule, decode, stop_ids
from prism_cli.modeling.encode import EncodedPrompt
from prism_cli.modeling.forward_pass import ForwardPass, forward_pass
from prism_cli.modeling.loading import (
    load_model,
    load_tokenizer,
    model_fingerprint,
    resolve_device,
    resolve_dtype,
)
from prism_cli.modeling.model_path import model_path
from prism_cli.modeling.prefix_cache import BatchCache, PrefixCache
from prism_cli.ports import Reply, Usage

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 32_768


class LocalModel:
    """A causal model; its weights are loaded when it is first asked.

    Args:
        spec: `hf:smollm2`, `hf:PATH` or `hf:HUB_ID`.
        device: auto (CUDA where there is one), cpu, cuda, cuda:1, …

    Attributes:
        fingerprint: of weights, template, number type and kind of device.

    Raises:
        ModelError: no such model or device, or a tokenizer without a chat template.
    """

    def __init__(self, spec: str, device: str = "auto") -> None:
        self.spec = spec
        self._device = device
        place = resolve_device(device)
        self.tokenizer = load_tokenizer(model_path(spec))
        self.encoder = ChatEncoder(self.tokenizer)
        self.fingerprint = (
            f"{model_fingerprint(spec)} {self.encoder.fingerprint} "
            f"{resolve_dtype('auto', place)} {place.type}"
        )
        self._prefix: tuple[list[int], PrefixCache] | None = None

    @cached_property
    def model(self) -> Any:
        """The model, in eval mode on its device."""
        return load_model(self.spec, device=self._device).model

    @cached_property
    def forward(self) -> ForwardPass:
        """How the model is run."""
        return forward_pass(self.model)

    @cached_property
    def head(self) -> Any:
        """Hidden states to logits."""
        return self.model.get_output_embeddings()

    @cached_property
    def ends(self) -> StopRule:
        """What ends an answer."""
        turn = self.tokenizer.get_added_vocab().get("<|im_end|>")
        ids = stop_ids(self.model, self.tokenizer) | ({turn} if turn is not None else set())
        return StopRule(ids, self.tokenizer)

    def encoded(self, prompt: Prompt) -> EncodedPrompt | str:
        """The prompt's ids, or why it cannot be asked."""
        try:
            encoded = self.encoder.encode(prompt.system, prompt.user)
        except RowError as error:
            return error.reason
        room = self.room(prompt)
        if len(encoded) > room:
            return f"a prompt of {len(encoded)} tokens; {self.spec} takes {room} and an answer"
        return encoded

    def room(self, prompt: Prompt) -> int:
        """Tokens of the prompt at the most, so that the answer fits the model, too."""
        context: int = self.model.get_decoder().config.max_position_embeddings
        return context - answer_tokens(prompt)

    def plan(self, found: Sequence[EncodedPrompt | str]) -> list[list[int]]:
        """Prompts of similar length together; those that cannot be asked go last."""
        fit = [place for place, one in enumerate(found) if isinstance(one, EncodedPrompt)]
        unfit = [place for place, one in enumerate(found) if isinstance(one, str)]
        prompts = [one for one in found if isinstance(one, EncodedPrompt)]
        gpu = self.forward.device.type != "cpu"
        batches = plan_batches(
            [tuple(prompt.prefix_ids) for prompt in prompts],
            [len(prompt.prefix_ids) for prompt in prompts],
            [len(prompt.tail_ids) for prompt in prompts],
            GPU_BATCH_TOKENS if gpu else CPU_BATCH_TOKENS,
            equal_lengths=not self.forward.padding_is_safe,
        )
        return [[fit[at] for at in batch] for batch in batches] + ([unfit] if unfit else [])

    def extend(
        self, prompts: Sequence[EncodedPrompt], *, keep: bool
    ) -> tuple[Tensor, BatchCache | None]:
        """Logits [prompts, vocabulary] of the answer's first token, and with `keep` the state
        behind the prompts.

        Raises:
            ModelError: logits that are no numbers.
        """
        states = [self._state(prompt.prefix_ids) for prompt in prompts]
        hidden, state = self.forward.extend(
            states, [prompt.tail_ids for prompt in prompts], keep=keep
        )
        logits: Tensor = self.head(hidden).float()
        if not torch.isfinite(logits).all():
            raise ModelError(f"{self.spec}: its logits are no finite numbers; damaged weights?")
        return logits, state

    def _state(self, ids: list[int]) -> PrefixCache:
        """A prompt's beginning, the same for all rows, is computed once."""
        if self._prefix is None or self._prefix[0] != ids:
            self._prefix = (ids, self.forward.prefill([ids])[0])
        return self._prefix[1]


class LocalChat:
    """A BatchBackend for a chat task; payloads are (the task's payload, attempt).

    Without temperature the likeliest token is taken, else one by lot, whose seed are the texts.
    """

    def __init__(self, model: LocalModel, task: ChatTask) -> None:
        self._model = model
        self._task = task
        self.spec = model.spec
        self.fingerprint = f"{task.name} {task.fingerprint} chat 1 {model.fingerprint}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """By length; prompts that do not fit the model go last, together."""
        return self._model.plan(
            [self._model.encoded(self._task.prompt(*payload)) for payload in payloads]
        )

    @torch.inference_mode()
    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """The task's value, or {"unusable": why}; a prompt that does not fit is refused.

        Raises:
            ModelError: the weights are damaged.
        """
        prompts = [self._task.prompt(*payload) for payload in payloads]
        found = [self._model.encoded(prompt) for prompt in prompts]
        asked = [
            _Asked(one, prompt, attempt)
            for one, prompt, (_, attempt) in zip(found, prompts, payloads, strict=True)
            if isinstance(one, EncodedPrompt)
        ]
        said = iter(zip(asked, self._said(asked), strict=True) if asked else ())
        return [
            Reply({}, refusal=one) if isinstance(one, str) else self._read(payload, *next(said))
            for one, (payload, _) in zip(found, payloads, strict=True)
        ]

    def _said(self, asked: "Sequence[_Asked]") -> list[tuple[list[int], bool]]:
        """Tokens of each answer, and whether they filled its bound."""

        def choose(logits: Tensor, rows: Sequence[int]) -> Tensor:
            tokens = logits.argmax(-1)
            for place, row in enumerate(rows):
                if asked[row].prompt.temperature:
                    tokens[place] = asked[row].drawn(logits[place])
            return tokens

        model = self._model
        logits, state = model.extend([one.encoded for one in asked], keep=True)
        assert state is not None
        texts = [
            Generation(first, answer_tokens(one.prompt) - 1)
            for one, first in zip(asked, choose(logits, range(len(asked))).tolist(), strict=True)
        ]
        decode(model.forward, model.head, state, texts, model.ends, choose)
        return [
            ([], False)
            if text.first in model.ends.stops
            else ([text.first, *text.tokens], len(text.tokens) >= text.limit)
            for text in texts
        ]

    def _read(self, payload: Any, asked: "_Asked", said: tuple[list[int], bool]) -> Reply:
        tokens, full = said
        text = str(self._model.tokenizer.decode(tokens, skip_special_tokens=True))
        word = asked.prompt.answer_tokens is None
        unfinished = f"cut at the bound of {len(tokens)} tokens" if full and not word else ""
        cut = len(tokens) if full else 0
        value = read_reply(self._task, payload, asked.prompt, text, unfinished=unfinished, cut=cut)
        return Reply(value, usage=Usage(len(asked.encoded), len(tokens)))


class _Asked:
    """One question, and its lots."""

    def __init__(self, encoded: EncodedPrompt, prompt: Prompt, attempt: int) -> None:
        self.encoded = encoded
        self.prompt = prompt
        self._lots = random.Random(f"{attempt}\0{prompt.system}\0{prompt.user}")

    def drawn(self, logits: Tensor) -> Tensor:
        """A token by lot, at the prompt's temperature.

        Args:
            logits: [vocabulary].
        """
        odds = (logits.double() / self.prompt.temperature).softmax(-1)
        lot = odds.new_tensor([self._lots.random()])
        return torch.searchsorted(odds.cumsum(-1), lot)[0].clamp(max=len(odds) - 1)


def answer_tokens(prompt: Prompt) -> int:
    """Tokens of the answer at the most."""
    return prompt.answer_tokens or WORD_TOKENS
