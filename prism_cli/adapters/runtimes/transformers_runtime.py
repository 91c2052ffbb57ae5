"""A causal model in this process as a reranker: scores, and text where the verdict is yes.

The prompt up to the document is computed once per query; documents go in batches of similar length
from there; of the head only the two verdict rows are computed. Texts continue, greedily, from the
state that gave the score.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from prism_cli.adapters.runtimes.batch_plan import PREFIX_TOKENS, plan_batches
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.continuing import continued, stop_ids
from prism_cli.modeling.dense_pass import MODEL_TYPES, DensePass
from prism_cli.modeling.encode import MAX_TOKENS, EncodedPrompt, PromptEncoder
from prism_cli.modeling.hybrid_pass import HybridPass
from prism_cli.modeling.loading import LoadedModel, load_model
from prism_cli.modeling.prompt_state import BatchState, PrefixState
from prism_cli.ports import Reply, RerankTask, Usage

CPU_BATCH_TOKENS = 2048
GPU_BATCH_TOKENS = 32_768

Pair = tuple[str, str]
"""Query, document."""


class TransformersReranker:
    """A RerankRuntime on transformers.

    Args:
        loaded: model, tokenizer, profile.
        spec: the model as the user named it.
        max_tokens: prompt tokens; longer documents are cut.
        batch_tokens: tail tokens of a batch, padding included; None for the device's default.

    Raises:
        ModelError: tokenizer or architecture is not fit.
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
        self.encoder = PromptEncoder(loaded.tokenizer, loaded.profile, max_tokens)
        model: Any = loaded.model
        dense = model.get_decoder().config.model_type in MODEL_TYPES
        self._pass = DensePass(model) if dense else HybridPass(model)
        self._spec = spec
        gpu = self._pass.device.type != "cpu"
        self.batch_tokens = batch_tokens or (GPU_BATCH_TOKENS if gpu else CPU_BATCH_TOKENS)
        # Alone, a prefix's numbers do not depend on what was computed before a kill.
        self._together = gpu and self._pass.padding_is_safe
        self._head: Any = model.get_output_embeddings()
        verdicts = torch.tensor([self.encoder.yes_id, self.encoder.no_id])
        weight: Tensor = self._head.weight
        self._verdict_rows = weight[verdicts.to(weight.device)].float()
        self._stops = torch.tensor(
            sorted({self.encoder.eos_id, *stop_ids(model, loaded.tokenizer)}), device=weight.device
        )
        self._states: OrderedDict[str, PrefixState] = OrderedDict()
        self._encoded: dict[Pair, EncodedPrompt | RowError] = {}

    @property
    def spec(self) -> str:
        return self._spec

    @property
    def fingerprint(self) -> str:
        return (
            f"rerank {self.loaded.fingerprint} {self.loaded.profile.hash} {self._pass.dtype} "
            f"{self._pass.device.type} {self.encoder.max_tokens}"
        )

    @property
    def figures(self) -> Mapping[str, object]:
        return {
            "engine": "transformers",
            "dtype": str(self._pass.dtype).removeprefix("torch."),
            "device": self._pass.device.type,
            "batch_tokens": self.batch_tokens,
        }

    def plan(self, payloads: Sequence[RerankTask]) -> list[list[int]]:
        """Batches by query and length; pairs that do not fit go last, together."""
        self._encoded = self._encode([(task.query, task.document) for task in payloads])
        known = [self._encoded[task.query, task.document] for task in payloads]
        fit = [index for index, one in enumerate(known) if isinstance(one, EncodedPrompt)]
        unfit = [index for index, one in enumerate(known) if isinstance(one, RowError)]
        prompts = [one for one in known if isinstance(one, EncodedPrompt)]
        batches = plan_batches(
            [payloads[index].query for index in fit],
            [len(prompt.prefix_ids) for prompt in prompts],
            [len(prompt.tail_ids) for prompt in prompts],
            self.batch_tokens,
            equal_lengths=not self._pass.padding_is_safe,
        )
        return [[fit[index] for index in batch] for batch in batches] + ([unfit] if unfit else [])

    @torch.inference_mode()
    def answer(self, payloads: Sequence[RerankTask]) -> list[Reply]:
        """One reply a task: {"logit", "truncated"}, and "text" where it is asked for.

        A query too long for the prompt is refused.

        Raises:
            ModelError: scores that are not numbers, or a pair that does not fit the device.
        """
        tasks = list(dict.fromkeys(payloads))
        pairs = [(task.query, task.document) for task in tasks]
        encoded = {pair: self._encoded.get(pair) for pair in pairs}
        encoded |= self._encode([pair for pair, one in encoded.items() if one is None])
        asked: list[RerankTask] = []
        prompts: list[EncodedPrompt] = []
        replies: dict[RerankTask, Reply] = {}
        for task, pair in zip(tasks, pairs, strict=True):
            one = encoded[pair]
            if isinstance(one, EncodedPrompt):
                asked.append(task)
                prompts.append(one)
            elif one is not None:
                replies[task] = Reply({}, refusal=one.reason)
        replies |= self._answered(asked, prompts)
        return [replies[task] for task in payloads]

    @torch.inference_mode()
    def logits(self, pairs: Sequence[Pair]) -> list[float]:
        """The logits of a few short pairs, in one batch."""
        prompts = self.encoder.encode_batch(pairs)
        states = self._prefix_states([query for query, _ in pairs], prompts)
        return self._scored([states[query] for query, _ in pairs], prompts, keep=False)[0]

    def forget(self) -> None:
        """Drop the states of prefixes that were kept for the next batch."""
        self._states.clear()
        self._encoded = {}

    def _encode(self, pairs: Sequence[Pair]) -> dict[Pair, EncodedPrompt | RowError]:
        distinct = list(dict.fromkeys(pairs))
        return dict(zip(distinct, self.encoder.encode_each(distinct), strict=True))

    def _answered(
        self, tasks: list[RerankTask], prompts: list[EncodedPrompt]
    ) -> dict[RerankTask, Reply]:
        if not tasks:
            return {}
        try:
            replies = self._batch(tasks, prompts)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(tasks) == 1:
                raise ModelError(
                    f"one prompt of {len(prompts[0])} tokens does not fit the device's memory; "
                    "lower --max-tokens, or use a smaller model or --dtype bfloat16"
                ) from error
            half = len(tasks) // 2
            first = self._answered(tasks[:half], prompts[:half])
            return first | self._answered(tasks[half:], prompts[half:])
        return dict(zip(tasks, replies, strict=True))

    def _batch(self, tasks: list[RerankTask], prompts: list[EncodedPrompt]) -> list[Reply]:
        states = self._prefix_states([task.query for task in tasks], prompts)
        writes = any(task.max_new_tokens for task in tasks)
        logits, state = self._scored([states[task.query] for task in tasks], prompts, keep=writes)
        limits = {
            row: task.max_new_tokens
            for row, (task, logit) in enumerate(zip(tasks, logits, strict=True))
            if task.max_new_tokens and logit > task.write_above
        }
        written = self._written(state, limits) if state is not None and limits else {}
        return [
            Reply(
                {"logit": logit, "truncated": prompt.truncated}
                | ({"text": self._text(written[row])} if row in written else {}),
                usage=Usage(len(prompt), len(written.get(row, ()))),
            )
            for row, (logit, prompt) in enumerate(zip(logits, prompts, strict=True))
        ]

    def _scored(
        self, states: list[PrefixState], prompts: list[EncodedPrompt], *, keep: bool
    ) -> tuple[list[float], BatchState | None]:
        """l_yes - l_no of each prompt, and with `keep` what generation goes on from."""
        tails = [prompt.tail_ids for prompt in prompts]
        hidden, state = self._pass.extend(states, tails, keep=keep)
        yes_no = hidden.float() @ self._verdict_rows.T
        logits: list[float] = (yes_no[:, 0] - yes_no[:, 1]).tolist()
        if not all(map(math.isfinite, logits)):
            raise ModelError(
                f"{self._spec}: scores are not finite numbers in {self._pass.dtype}; the weights "
                "are damaged, or the type is too narrow: try --dtype bfloat16 or float32"
            )
        return logits, state

    def _prefix_states(
        self, queries: list[str], prompts: list[EncodedPrompt]
    ) -> dict[str, PrefixState]:
        """The state of each query's prefix, from the store where it is there."""
        ids = {query: prompt.prefix_ids for query, prompt in zip(queries, prompts, strict=True)}
        missing = [query for query in ids if query not in self._states]
        for group in self._prefill_groups(missing, ids):
            made = self._pass.prefill([ids[query] for query in group])
            self._states.update(zip(group, made, strict=True))
        for query in ids:
            self._states.move_to_end(query)
        found = {query: self._states[query] for query in ids}
        held = sum(state.length for state in self._states.values())
        while held > PREFIX_TOKENS and len(self._states) > len(ids):
            held -= self._states.popitem(last=False)[1].length
        return found

    def _prefill_groups(self, queries: list[str], ids: dict[str, list[int]]) -> list[list[str]]:
        if not self._together or not queries:
            return [[query] for query in queries]
        size = max(1, self.batch_tokens // max(len(ids[query]) for query in queries))
        return [queries[start : start + size] for start in range(0, len(queries), size)]

    def _written(self, state: BatchState, limits: dict[int, int]) -> dict[int, list[int]]:
        """Greedy tokens behind "yes", without the one that ends them.

        Args:
            limits: tokens at the most, by row of the batch.
        """
        chosen = torch.tensor(list(limits), device=self._stops.device)
        follows = continued(
            self._pass,
            self._head,
            state.keep(chosen, self._pass.attention),
            torch.full_like(chosen, self.encoder.yes_id),
            self._stops,
            max(limits.values()),
        )
        return {row: tokens[: limits[row]] for row, tokens in zip(limits, follows, strict=True)}

    def _text(self, tokens: list[int]) -> str:
        ids = [self.encoder.yes_id, *tokens]
        return str(self.loaded.tokenizer.decode(ids, skip_special_tokens=True))


def load_reranker(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    profile: str | None = None,
    max_tokens: int = MAX_TOKENS,
    batch_tokens: int | None = None,
) -> TransformersReranker:
    """The reranker of a model spec.

    Raises:
        ModelError: see `load_model` and TransformersReranker.
    """
    return TransformersReranker(
        load_model(spec, device=device, dtype=dtype, profile=profile),
        spec,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
    )
