"""A causal model in this process as a reranker: scores, and text where the verdict is yes.

The prompt up to the document is computed once per query; documents go in batches of similar length
from there; of the head only the two verdict rows are computed. Texts continue, greedily, from the
state that gave the score.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from prism_cli.adapters.runtimes.batch_budget import batch_budget
from prism_cli.adapters.runtimes.batch_plan import PREFIX_TOKENS, plan_batches, plan_prefixes
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.attention import attention_mark
from prism_cli.modeling.continuing import continued, stop_ids
from prism_cli.modeling.dense_pass import MODEL_TYPES, DensePass
from prism_cli.modeling.encode import MAX_TOKENS, EncodedPrompt, PromptEncoder
from prism_cli.modeling.hybrid_pass import HybridPass
from prism_cli.modeling.loading import LoadedModel, load_model
from prism_cli.modeling.packed_rows import common_prefix
from prism_cli.modeling.prompt_state import BatchState, PrefixState
from prism_cli.ports import Reply, RerankTask, Usage

_QUERIES = ("a", "7", "é", ".")
"""What their prefixes share, all do."""

Pair = tuple[str, str]
"""Query, document."""


class TransformersReranker:
    """A RerankRuntime on transformers.

    Args:
        loaded: model, tokenizer, profile.
        spec: the model as the user named it.
        max_tokens: prompt tokens; longer documents are cut.
        batch_tokens: tail tokens of a batch, padding included; None for what the device takes.

    Attributes:
        batch_tokens: likewise; halved, for good, where memory ends.

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
        self._attention = str(model.config._attn_implementation)
        self._pass = DensePass(model) if dense else HybridPass(model)
        self._spec = spec
        self.batch_tokens = batch_tokens or batch_budget(self._pass)
        self._head: Any = model.get_output_embeddings()
        verdicts = torch.tensor([self.encoder.yes_id, self.encoder.no_id])
        weight: Tensor = self._head.weight
        self._verdict_rows = weight[verdicts.to(weight.device)].float()
        self._stops = torch.tensor(
            sorted({self.encoder.eos_id, *stop_ids(model, loaded.tokenizer)}), device=weight.device
        )
        self._trunk_ids = _trunk_ids(self.encoder)
        self._trunk: PrefixState | None = None
        self._states: OrderedDict[str, PrefixState] = OrderedDict()
        self._groups: dict[str, list[str]] = {}
        self._encoded: dict[Pair, EncodedPrompt | RowError] = {}

    @property
    def spec(self) -> str:
        return self._spec

    @property
    def fingerprint(self) -> str:
        return (
            f"rerank {self.loaded.fingerprint} {self.loaded.profile.hash} {self._pass.dtype} "
            f"{self._pass.device.type}{attention_mark(self._attention)} {self.encoder.max_tokens}"
        )

    @property
    def figures(self) -> Mapping[str, object]:
        return {
            "engine": "transformers",
            "dtype": str(self._pass.dtype).removeprefix("torch."),
            "device": self._pass.device.type,
            "attention": self._attention,
            "batch_tokens": self.batch_tokens,
        }

    def plan(self, payloads: Sequence[RerankTask]) -> list[list[int]]:
        """Batches by query and length; pairs that do not fit go last, together."""
        self._encoded = self._encode([(task.query, task.document) for task in payloads])
        known = [self._encoded[task.query, task.document] for task in payloads]
        fit = [index for index, one in enumerate(known) if isinstance(one, EncodedPrompt)]
        unfit = [index for index, one in enumerate(known) if isinstance(one, RowError)]
        queries = [payloads[index].query for index in fit]
        prompts = [one for one in known if isinstance(one, EncodedPrompt)]
        batches = self._batches(queries, prompts)
        # A prefix's numbers depend, in rounding, on those computed with it: always these, and none
        # of an earlier plan, whatever a kill has lost.
        self._states.clear()
        self._groups = {}
        if self._pass.padding_is_safe:
            prefixes, shared = [len(one.prefix_ids) for one in prompts], len(self._trunk_ids)
            for rows in plan_prefixes(queries, prefixes, shared, self.batch_tokens):
                group = [queries[row] for row in rows]
                self._groups |= dict.fromkeys(group, group)
        return [[fit[index] for index in batch] for batch in batches] + ([unfit] if unfit else [])

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
        with self._kernels():
            replies |= self._answered(asked, prompts)
        return [replies[task] for task in payloads]

    @torch.inference_mode()
    def logits(self, pairs: Sequence[Pair]) -> list[float]:
        """The logits of a few short pairs, in one batch."""
        prompts = self.encoder.encode_batch(pairs)
        with self._kernels():
            states = self._prefix_states([query for query, _ in pairs], prompts)
            return self._scored([states[query] for query, _ in pairs], prompts, keep=False)[0]

    def forget(self) -> None:
        """Drop the states of prefixes that were kept for the next batch."""
        self._states.clear()
        self._trunk = None
        self._encoded = {}

    def _encode(self, pairs: Sequence[Pair]) -> dict[Pair, EncodedPrompt | RowError]:
        distinct = list(dict.fromkeys(pairs))
        return dict(zip(distinct, self.encoder.encode_each(distinct), strict=True))

    def _kernels(self) -> AbstractContextManager[None]:
        """Where attention is eager, torch's products and softmax one by one."""
        eager = self._attention == "eager"
        return sdpa_kernel(SDPBackend.MATH) if eager else nullcontext()

    def _answered(
        self, tasks: list[RerankTask], prompts: list[EncodedPrompt]
    ) -> dict[RerankTask, Reply]:
        """Replies by task, in batches of what memory has taken so far."""
        replies: dict[RerankTask, Reply] = {}
        for rows in self._batches([task.query for task in tasks], prompts):
            asked, own = [tasks[row] for row in rows], [prompts[row] for row in rows]
            try:
                replies |= zip(asked, self._batch(asked, own), strict=True)
                continue
            except torch.OutOfMemoryError as error:
                if len(rows) == 1:
                    raise ModelError(
                        f"one prompt of {len(own[0])} tokens does not fit the device's memory; "
                        "lower --max-tokens, or use a smaller model or --dtype bfloat16"
                    ) from error
            # Behind the handler: as long as it runs, the error holds what the batch had allocated.
            self._states.clear()
            torch.cuda.empty_cache()
            taken = len(rows) * max(len(prompt.tail_ids) for prompt in own)
            self.batch_tokens = max(1, min(self.batch_tokens, taken) // 2)
            replies |= self._answered(asked, own)
        return replies

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
        for query in ids:
            if query not in self._states:
                group = self._groups.get(query, [query])
                made = self._prefilled([self.encoder.prefix_ids(one) for one in group])
                self._states.update(zip(group, made, strict=True))
        for query in ids:
            self._states.move_to_end(query)
        found = {query: self._states[query] for query in ids}
        held = sum(state.length for state in self._states.values())
        while held > PREFIX_TOKENS and len(self._states) > len(ids):
            held -= self._states.popitem(last=False)[1].length
        return found

    def _prefilled(self, prefixes: list[list[int]]) -> list[PrefixState]:
        """States of prefixes; what all of them begin with is computed once, alone."""
        shared = len(self._trunk_ids)
        if not shared or any(one[:shared] != self._trunk_ids for one in prefixes):
            return self._pass.prefill(prefixes)
        if self._trunk is None:
            self._trunk = self._pass.prefill([self._trunk_ids])[0]
        return self._pass.prefill([one[shared:] for one in prefixes], self._trunk)

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


def _trunk_ids(encoder: PromptEncoder) -> list[int]:
    """First tokens of every prefix; [] where prompts are too short for any."""
    try:
        prefixes = [encoder.prefix_ids(query) for query in _QUERIES]
    except RowError:
        return []
    return prefixes[0][: common_prefix(prefixes)]


def load_reranker(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    profile: str | None = None,
    max_tokens: int = MAX_TOKENS,
    batch_tokens: int | None = None,
    attn: str = "auto",
) -> TransformersReranker:
    """The reranker of a model spec.

    Raises:
        ModelError: see `load_model` and TransformersReranker.
    """
    return TransformersReranker(
        load_model(spec, device=device, dtype=dtype, profile=profile, attn=attn),
        spec,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
    )
