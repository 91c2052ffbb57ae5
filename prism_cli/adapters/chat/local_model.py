"""A local chat model, prompted through its own chat template."""

import random
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from prism_cli.adapters.runtimes.batch_plan import plan_batches
from prism_cli.domain.chat import WORD_TOKENS, ChatTask, Prompt, read_reply
from prism_cli.domain.defaults import MAX_TOKENS
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.chat_encode import ChatEncoder
from prism_cli.modeling.decoding import Generation, StopRule, decode, stop_ids
from prism_cli.modeling.encode import EncodedPrompt
from prism_cli.modeling.forward_pass import ForwardPass, forward_pass
from prism_cli.modeling.loading import (
    load_model,
    load_tokenizer,
    resolve_device,
    resolve_dtype,
)
from prism_cli.modeling.model_folder import resolve_model
from prism_cli.modeling.prefix_cache import BatchCache, PrefixCache
from prism_cli.modeling.prompt_limit import readable_tokens
from prism_cli.ports import Reply, Usage

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 32_768


class LocalModel:
    """A causal model; its weights are loaded on first use.

    Args:
        spec: `hf:smollm2`, `hf:PATH` or `hf:HUB_ID`.
        device: auto (CUDA if available), cpu, cuda, cuda:1, …

    Attributes:
        fingerprint: covers weights, template, tokenizer, dtype and device type.

    Raises:
        ModelError: there is no such model or device, or the tokenizer has no chat template.
    """

    def __init__(self, spec: str, device: str = "auto") -> None:
        self.spec = spec
        self._device = device
        place = resolve_device(device)
        self._folder = resolve_model(spec)
        if self._folder.tokenizer_path != self._folder.path:
            raise ModelError(
                f"model {spec}: an adapter without a tokenizer, such as a reranker of prism; "
                f"expected a chat model, such as its base {self._folder.base_spec}"
            )
        self.tokenizer = load_tokenizer(self._folder.path)
        self.encoder = ChatEncoder(self.tokenizer)
        self.fingerprint = (
            f"{self._folder.fingerprint} {self.encoder.fingerprint} "
            f"{resolve_dtype('auto', place)} {place.type}"
        )
        self._prefix: tuple[list[int], PrefixCache] | None = None

    @cached_property
    def model(self) -> Any:
        """The model, in eval mode on its device."""
        return load_model(self._folder, device=self._device).model

    @cached_property
    def forward(self) -> ForwardPass:
        """The forward pass of the model."""
        return forward_pass(self.model)

    @cached_property
    def head(self) -> Any:
        """The layer from hidden states to logits."""
        return self.model.get_output_embeddings()

    @cached_property
    def ends(self) -> StopRule:
        """Conditions that end an answer."""
        turn = self.tokenizer.get_added_vocab().get("<|im_end|>")
        ids = stop_ids(self.model, self.tokenizer) | ({turn} if turn is not None else set())
        return StopRule(ids, self.tokenizer)

    def encoded(self, prompt: Prompt) -> EncodedPrompt | str:
        """Return the prompt's token ids, or the reason why the prompt is refused."""
        try:
            encoded = self.encoder.encode(prompt.system, prompt.user)
        except RowError as error:
            return error.reason
        room = self.room(prompt)
        if len(encoded) > room:
            return f"a prompt of {len(encoded)} tokens; {self.spec} takes {room} and an answer"
        return encoded

    def room(self, prompt: Prompt) -> int:
        """Return the maximum tokens of the prompt that leave room for the answer."""
        return (readable_tokens(self.model.config) or MAX_TOKENS) - answer_tokens(prompt)

    def plan(self, encoded: Sequence[EncodedPrompt | str]) -> list[list[int]]:
        """Return batches of prompts of similar length; refused prompts form the last batch."""
        fit = [index for index, item in enumerate(encoded) if isinstance(item, EncodedPrompt)]
        refused = [index for index, item in enumerate(encoded) if isinstance(item, str)]
        prompts = [item for item in encoded if isinstance(item, EncodedPrompt)]
        gpu = self.forward.device.type != "cpu"
        batches = plan_batches(
            [tuple(prompt.prefix_ids) for prompt in prompts],
            [len(prompt.prefix_ids) for prompt in prompts],
            [len(prompt.tail_ids) for prompt in prompts],
            GPU_BATCH_TOKENS if gpu else CPU_BATCH_TOKENS,
            equal_lengths=not self.forward.padding_is_safe,
        )
        return [[fit[index] for index in batch] for batch in batches] + (
            [refused] if refused else []
        )

    def extend(
        self, prompts: Sequence[EncodedPrompt], *, keep: bool
    ) -> tuple[Tensor, BatchCache | None]:
        """Return the logits [prompts, vocabulary] of the answer's first token and, with `keep`, the
        state after the prompts.

        Raises:
            ModelError: the logits are not finite.
        """
        states = [self._state(prompt.prefix_ids) for prompt in prompts]
        hidden, state = self.forward.extend(
            states, [prompt.tail_ids for prompt in prompts], keep=keep
        )
        logits: Tensor = self.head(hidden).float()
        if not torch.isfinite(logits).all():
            raise ModelError(f"{self.spec}: its logits are not finite; are the weights damaged?")
        return logits, state

    def _state(self, ids: list[int]) -> PrefixCache:
        """Return the state of a prompt's prefix; the same prefix is computed once."""
        if self._prefix is None or self._prefix[0] != ids:
            self._prefix = (ids, self.forward.prefill([ids])[0])
        return self._prefix[1]


class LocalChat:
    """A BatchBackend for a chat task; payloads are (the task's payload, attempt).

    Without temperature, decoding is greedy; otherwise tokens are sampled with the texts as seed.
    """

    def __init__(self, model: LocalModel, task: ChatTask) -> None:
        self._model = model
        self._task = task
        self.spec = model.spec
        self.fingerprint = f"{task.name} {task.fingerprint} chat 1 {model.fingerprint}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return batches by length; prompts that do not fit the model form the last batch."""
        return self._model.plan(
            [self._model.encoded(self._task.prompt(*payload)) for payload in payloads]
        )

    @torch.inference_mode()
    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return the task's value or {"unusable": reason}; a prompt that does not fit is refused.

        Raises:
            ModelError: the weights are damaged.
        """
        prompts = [self._task.prompt(*payload) for payload in payloads]
        encoded = [self._model.encoded(prompt) for prompt in prompts]
        questions = [
            _Question(item, prompt, attempt)
            for item, prompt, (_, attempt) in zip(encoded, prompts, payloads, strict=True)
            if isinstance(item, EncodedPrompt)
        ]
        answers = iter(zip(questions, self._generate(questions), strict=True) if questions else ())
        return [
            Reply({}, refusal=item)
            if isinstance(item, str)
            else self._read(payload, *next(answers))
            for item, (payload, _) in zip(encoded, payloads, strict=True)
        ]

    def _generate(self, questions: "Sequence[_Question]") -> list[tuple[list[int], bool]]:
        """Return the tokens of each answer, and whether it reached its token limit."""

        def choose(logits: Tensor, rows: Sequence[int]) -> Tensor:
            tokens = logits.argmax(-1)
            for place, row in enumerate(rows):
                if questions[row].prompt.temperature:
                    tokens[place] = questions[row].sample(logits[place])
            return tokens

        model = self._model
        logits, state = model.extend([question.encoded for question in questions], keep=True)
        assert state is not None
        firsts = choose(logits, range(len(questions))).tolist()
        texts = [
            Generation(first, answer_tokens(question.prompt) - 1, model.ends)
            for question, first in zip(questions, firsts, strict=True)
        ]
        decode(model.forward, model.head, state, texts, choose)
        return [
            ([], False)
            if text.first in model.ends.stops
            else ([text.first, *text.tokens], len(text.tokens) >= text.limit)
            for text in texts
        ]

    def _read(self, payload: Any, question: "_Question", answer: tuple[list[int], bool]) -> Reply:
        tokens, full = answer
        text = str(self._model.tokenizer.decode(tokens, skip_special_tokens=True))
        word = question.prompt.answer_tokens is None
        unfinished = f"cut at the bound of {len(tokens)} tokens" if full and not word else ""
        cut = len(tokens) if full else 0
        value = read_reply(
            self._task, payload, question.prompt, text, unfinished=unfinished, cut=cut
        )
        return Reply(value, usage=Usage(len(question.encoded), len(tokens)))


class _Question:
    """One question with its random generator."""

    def __init__(self, encoded: EncodedPrompt, prompt: Prompt, attempt: int) -> None:
        self.encoded = encoded
        self.prompt = prompt
        self._random = random.Random(f"{attempt}\0{prompt.system}\0{prompt.user}")

    def sample(self, logits: Tensor) -> Tensor:
        """Sample a token at the prompt's temperature.

        Args:
            logits: [vocabulary].
        """
        probabilities = (logits.double() / self.prompt.temperature).softmax(-1)
        point = probabilities.new_tensor([self._random.random()])
        token = torch.searchsorted(probabilities.cumsum(-1), point)[0]
        return token.clamp(max=len(probabilities) - 1)


def answer_tokens(prompt: Prompt) -> int:
    """Return the maximum tokens of the answer."""
    return prompt.answer_tokens or WORD_TOKENS
