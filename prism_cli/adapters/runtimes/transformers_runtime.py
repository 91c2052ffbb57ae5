"""A local causal model as a reranker: scores, and text if the verdict is yes.

The prompt up to the document is computed once per query; documents are batched by length; only the
two verdict rows of the output layer are computed. Texts are decoded greedily from the state that
produced the score.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from prism_cli.adapters.runtimes.batch_budget import batch_budget, out_of_memory
from prism_cli.adapters.runtimes.batch_plan import plan_batches
from prism_cli.adapters.runtimes.prefix_states import PrefixStates
from prism_cli.adapters.runtimes.text_session import TextSession
from prism_cli.adapters.runtimes.text_writer import TextWriter
from prism_cli.domain.defaults import MAX_TOKENS
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.attention import attention_suffix
from prism_cli.modeling.decoding import Generation
from prism_cli.modeling.encode import EncodedPrompt, PromptEncoder
from prism_cli.modeling.forward_pass import forward_pass, require_reranker
from prism_cli.modeling.loading import LoadedModel, load_model
from prism_cli.modeling.memory_errors import is_out_of_memory
from prism_cli.modeling.model_folder import ModelFolder
from prism_cli.modeling.prefix_cache import BatchCache, PrefixCache, gather_rows
from prism_cli.modeling.prompt_limit import prompt_limit
from prism_cli.ports import Reply, RerankTask, Usage, Value

WRITING_BATCHES = 4
"""Batches whose texts are written together: a step of few rows takes as long as one of many."""

Pair = tuple[str, str]
"""Query, document."""
T = TypeVar("T")
Run = Callable[[list[RerankTask], list[EncodedPrompt], list[list[int]]], T]
"""(tasks, their prompts, rows of each batch) -> a result."""


class TransformersReranker:
    """A RerankRuntime on transformers.

    Args:
        loaded: model, tokenizer and profile.
        spec: the model as the user named it.
        max_tokens: maximum tokens of a prompt; longer documents are truncated.
        batch_tokens: tail tokens of a batch, including padding; by default what the device allows.

    Attributes:
        batch_tokens: current tail tokens of a batch; halved when memory runs out.
        defaults: those that the model states.

    Raises:
        ModelError: tokenizer or architecture is not supported.
        ArgumentError: as `prompt_limit`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        spec: str,
        *,
        max_tokens: int = MAX_TOKENS,
        batch_tokens: int | None = None,
    ) -> None:
        self.loaded = loaded
        self.defaults = loaded.defaults
        model: Any = loaded.model
        limit = prompt_limit(max_tokens, model.config, spec, self.defaults)
        self.encoder = PromptEncoder(loaded.tokenizer, loaded.profile, limit)
        require_reranker(model.config, self.encoder)
        self._attention = str(model.config._attn_implementation)
        self._pass = forward_pass(model)
        self.spec = spec
        self.batch_tokens = batch_tokens or batch_budget(self._pass)
        verdicts = torch.tensor([self.encoder.yes_id, self.encoder.no_id])
        head: Any = model.get_output_embeddings()
        bias = getattr(head, "bias", None)
        verdicts = verdicts.to(head.weight.device)
        self._verdict_rows: Tensor = head.weight[verdicts].float()
        self._verdict_bias: Tensor | None = None if bias is None else bias[verdicts].float()
        self._prefixes = PrefixStates(self._pass, self.encoder)
        self.writer = TextWriter(self._pass, model, self.encoder)
        self._encoded: dict[Pair, EncodedPrompt | RowError] = {}

    @property
    def fingerprint(self) -> str:
        dtype, device = self._pass.dtype, self._pass.device
        weights = self.loaded.fingerprint
        return f"rerank {identity(weights, self.encoder, dtype, device, self._attention)}"

    @property
    def figures(self) -> Mapping[str, object]:
        return {
            "engine": "transformers",
            "dtype": str(self._pass.dtype).removeprefix("torch."),
            "device": self._pass.device.type,
            "attention": self._attention,
            "batch_tokens": self.batch_tokens,
            "max_tokens": self.encoder.max_tokens,
        }

    def plan(self, payloads: Sequence[RerankTask]) -> list[list[int]]:
        """Return batches by query and length; pairs that do not fit form the last batch."""
        self._encoded = self._encode([(task.query, task.document) for task in payloads])
        encoded = [self._encoded[task.query, task.document] for task in payloads]
        fit = [index for index, item in enumerate(encoded) if isinstance(item, EncodedPrompt)]
        rejected = [index for index, item in enumerate(encoded) if isinstance(item, RowError)]
        queries = [payloads[index].query for index in fit]
        prompts = [item for item in encoded if isinstance(item, EncodedPrompt)]
        batches = self._batches(queries, prompts)
        self._prefixes.begin_plan(queries, prompts, self.batch_tokens)
        together = WRITING_BATCHES if any(task.max_new_tokens for task in payloads) else 1
        joined = [
            [fit[index] for batch in batches[start : start + together] for index in batch]
            for start in range(0, len(batches), together)
        ]
        return joined + ([rejected] if rejected else [])

    def _batches(self, queries: list[str], prompts: list[EncodedPrompt]) -> list[list[int]]:
        return plan_batches(
            queries,
            [len(prompt.prefix_ids) for prompt in prompts],
            [len(prompt.tail_ids) for prompt in prompts],
            self.batch_tokens,
            equal_lengths=not self._pass.padding_is_safe,
        )

    @torch.inference_mode()
    def answer(self, payloads: Sequence[RerankTask]) -> list[Reply]:
        """Return a reply per task: {"logit", "truncated"}, and "text" if it was requested.

        A query too long for the prompt is refused.

        Raises:
            ModelError: scores are not finite, or a pair does not fit the device.
        """
        accepted, prompts, replies = self.prompts(payloads)
        with self.kernels():
            answers = self.within_memory(accepted, prompts, self._replies)
        replies |= zip(accepted, answers, strict=True)
        return [replies[task] for task in payloads]

    def prompts(
        self, payloads: Sequence[RerankTask]
    ) -> tuple[list[RerankTask], list[EncodedPrompt], dict[RerankTask, Reply]]:
        """Return the different tasks that can be read, their prompts, and refusals of the rest."""
        tasks = list(dict.fromkeys(payloads))
        pairs = [(task.query, task.document) for task in tasks]
        encoded = {pair: self._encoded.get(pair) for pair in pairs}
        encoded |= self._encode([pair for pair, item in encoded.items() if item is None])
        accepted: list[RerankTask] = []
        prompts: list[EncodedPrompt] = []
        refused: dict[RerankTask, Reply] = {}
        for task, pair in zip(tasks, pairs, strict=True):
            item = encoded[pair]
            if isinstance(item, EncodedPrompt):
                accepted.append(task)
                prompts.append(item)
            elif item is not None:
                refused[task] = Reply({}, refusal=item.reason)
        return accepted, prompts, refused

    def text_session(self) -> TextSession:
        """Return a session in which texts are written pass by pass."""
        return TextSession(self)

    @torch.inference_mode()
    def logits(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the logits of a few short pairs, computed in one batch."""
        prompts = self.encoder.encode_batch(pairs)
        with self.kernels():
            states = self._prefixes.of([query for query, _ in pairs], prompts)
            return self._scored(states, prompts, keep=False)[0]

    def forget(self) -> None:
        """Drop the states of prefixes that are cached for the next batch."""
        self._prefixes.forget()
        self._encoded = {}

    def _encode(self, pairs: Sequence[Pair]) -> dict[Pair, EncodedPrompt | RowError]:
        distinct = list(dict.fromkeys(pairs))
        return dict(zip(distinct, self.encoder.encode_each(distinct), strict=True))

    def kernels(self) -> AbstractContextManager[None]:
        """Return a context in which eager attention uses torch's plain math kernels."""
        eager = self._attention == "eager"
        return sdpa_kernel(SDPBackend.MATH) if eager else nullcontext()

    def within_memory(
        self, tasks: list[RerankTask], prompts: list[EncodedPrompt], run: Run[T]
    ) -> T:
        """Run on batches; halve `batch_tokens` and run again when memory runs out."""
        while True:
            batches = self._batches([task.query for task in tasks], prompts)
            try:
                return run(tasks, prompts, batches)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if max(map(len, batches)) == 1:
                    raise out_of_memory(max(map(len, prompts))) from error
            # Outside the handler, as the error keeps allocations alive while it is handled.
            self._prefixes.clear()
            torch.cuda.empty_cache()
            taken = max(
                len(rows) * max(len(prompts[row].tail_ids) for row in rows) for rows in batches
            )
            self.batch_tokens = max(1, min(self.batch_tokens, taken) // 2)

    def _replies(
        self, tasks: list[RerankTask], prompts: list[EncodedPrompt], batches: list[list[int]]
    ) -> list[Reply]:
        """Return scores, computed in batches, and texts, written for several batches together."""
        scores: dict[int, float] = {}
        texts: dict[int, Generation] = {}
        waiting: list[tuple[BatchCache, list[int]]] = []
        for batch, logits, state, wanted in self.read(tasks, prompts, batches):
            scores |= zip(batch, logits, strict=True)
            if state is None:
                continue
            held = sum(len(prompts[row]) for _, rows in waiting for row in rows)
            if held + sum(len(prompts[row]) for row in wanted) > 4 * self.batch_tokens:
                texts |= self._written(waiting, tasks, prompts)
                waiting = []
            waiting.append((state, wanted))
        texts |= self._written(waiting, tasks, prompts)
        return [
            self.reply(prompt, scores[row], texts.get(row)) for row, prompt in enumerate(prompts)
        ]

    def read(
        self, tasks: list[RerankTask], prompts: list[EncodedPrompt], batches: list[list[int]]
    ) -> Iterator[tuple[list[int], list[float], BatchCache | None, list[int]]]:
        """Yield for each batch its rows, their logits, and the state and rows of those that get a
        text."""
        for batch in batches:
            own = [prompts[row] for row in batch]
            states = self._prefixes.of([tasks[row].query for row in batch], own)
            keep = any(tasks[row].max_new_tokens for row in batch)
            logits, state = self._scored(states, own, keep=keep)
            wanted = [
                place
                for place, (row, logit) in enumerate(zip(batch, logits, strict=True))
                if tasks[row].max_new_tokens and logit > tasks[row].write_above
            ]
            if state is not None:
                state = gather_rows([(state, wanted)], self._pass.attention) if wanted else None
            yield batch, logits, state, [batch[place] for place in wanted]

    def reply(self, prompt: EncodedPrompt, logit: float, text: Generation | None) -> Reply:
        """Return the reply for a prompt with its text, if it got one."""
        value: Value = {"logit": logit, "truncated": prompt.truncated}
        if text is not None:
            value["text"] = self.writer.decoded(text)
        return Reply(value, usage=Usage(len(prompt), len(text.tokens) if text else 0))

    def _written(
        self,
        waiting: list[tuple[BatchCache, list[int]]],
        tasks: list[RerankTask],
        prompts: list[EncodedPrompt],
    ) -> dict[int, Generation]:
        """Return the texts of the waiting rows."""
        rows = [row for _, own in waiting for row in own]
        if not rows:
            return {}
        texts = self.writer.write(
            [(state, range(len(own))) for state, own in waiting],
            [prompts[row] for row in rows],
            [tasks[row].max_new_tokens for row in rows],
            [tasks[row].selects for row in rows],
        )
        return dict(zip(rows, texts, strict=True))

    def _scored(
        self, states: list[PrefixCache], prompts: list[EncodedPrompt], *, keep: bool
    ) -> tuple[list[float], BatchCache | None]:
        """Return l_yes - l_no of each prompt, and with `keep` the state for generation."""
        tails = [prompt.tail_ids for prompt in prompts]
        hidden, state = self._pass.extend(states, tails, keep=keep)
        yes_no = functional.linear(hidden.float(), self._verdict_rows, self._verdict_bias)
        logits: list[float] = (yes_no[:, 0] - yes_no[:, 1]).tolist()
        if not all(map(math.isfinite, logits)):
            raise ModelError(
                f"{self.spec}: scores are not finite numbers in {self._pass.dtype}; the weights "
                "are damaged, or the type is too narrow: try --dtype bfloat16 or float32"
            )
        return logits, state


def identity(
    weights: str, encoder: PromptEncoder, dtype: torch.dtype, device: torch.device, attn: str
) -> str:
    """Return all that decides the scores of a reranker with these weights (a fingerprint)."""
    suffix = attention_suffix(attn)
    return f"{weights} {encoder.fingerprint} {dtype} {device.type}{suffix}"


def load_reranker(
    model: str | ModelFolder,
    *,
    device: str = "auto",
    dtype: str = "auto",
    profile: str | None = None,
    max_tokens: int = MAX_TOKENS,
    batch_tokens: int | None = None,
    attn: str = "auto",
) -> TransformersReranker:
    """Load the reranker of a model spec, or of its resolved folder.

    Raises:
        ModelError: see `load_model` and TransformersReranker.
    """
    return TransformersReranker(
        load_model(model, device=device, dtype=dtype, profile=profile, attn=attn),
        model if isinstance(model, str) else model.spec,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
    )
