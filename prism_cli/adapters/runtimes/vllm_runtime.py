"""vLLM as a reranker's engine, for a GPU of its own.

vLLM batches, schedules and caches prefixes. prism provides the prompt's ids, reads the score from
the two verdict tokens, and requests text only for "yes". A score is one token with the log
probabilities of both verdicts, whose difference is that of the logits; a text continues after the
verdict from the cached prompt.
"""

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from prism_cli.adapters.runtimes.text_writer import CLOSINGS, stop_rules
from prism_cli.domain.defaults import MAX_NEW_TOKENS, MAX_TOKENS
from prism_cli.domain.model_defaults import NO_DEFAULTS, ModelDefaults
from prism_cli.errors import MissingPackageError, ModelError, RowError, first_line
from prism_cli.generator_drivers import in_step
from prism_cli.modeling.decoding import tokenizer_stops
from prism_cli.modeling.encode import EncodedPrompt, PromptEncoder
from prism_cli.modeling.loading import load_config, load_tokenizer
from prism_cli.modeling.model_folder import resolve_model
from prism_cli.modeling.prompt_limit import prompt_limit
from prism_cli.ports import Reply, RerankTask, Usage

BATCH_PAIRS = 512
"""Pairs per call of vLLM; replies are committed after each."""
Asked = tuple[list[int], dict[str, Any]]
"""A prompt's ids, and arguments of SamplingParams."""
Steps = Generator[Sequence[Asked], Sequence[Any], list[Reply]]
"""Yields prompts, is sent their completions, and returns replies."""


class VllmReranker:
    """A RerankRuntime on vLLM.

    Args:
        llm: a vllm.LLM.
        encoder: encoder of the same model.
        spec: the model as the user named it.
        fingerprint: covers everything that determines the replies.
        figures: entries of the manifest.
        defaults: those that the model states.
    """

    def __init__(
        self,
        llm: Any,
        encoder: PromptEncoder,
        spec: str,
        fingerprint: str,
        figures: Mapping[str, object],
        defaults: ModelDefaults = NO_DEFAULTS,
    ) -> None:
        self.encoder, self.defaults = encoder, defaults
        self.spec, self.fingerprint, self.figures = spec, fingerprint, figures
        self._llm = llm
        stops = {encoder.eos_id, *tokenizer_stops(encoder.tokenizer)}
        self._ends = stop_rules(stops, encoder.tokenizer)

    @classmethod
    def start(cls, **options: Any) -> tuple[Any, Any]:
        """Return the engine with these arguments, and its model's configuration."""
        from vllm import LLM

        llm = LLM(**options)
        return llm, llm.llm_engine.model_config

    def plan(self, payloads: Sequence[RerankTask]) -> list[list[int]]:
        """Return batches of BATCH_PAIRS, with a query's pairs adjacent."""
        first: dict[str, int] = {}
        for index, task in enumerate(payloads):
            first.setdefault(task.query, index)
        order = sorted(range(len(payloads)), key=lambda index: first[payloads[index].query])
        return [order[at : at + BATCH_PAIRS] for at in range(0, len(order), BATCH_PAIRS)]

    def answer(self, payloads: Sequence[RerankTask]) -> list[Reply]:
        """Return a reply per task: {"logit", "truncated"}, and "text" if it was requested.

        A query too long for the prompt is refused.

        Raises:
            ModelError: scores are not finite.
        """
        return in_step({"all": self.steps(payloads)}, self.generate)["all"]

    def steps(self, payloads: Sequence[RerankTask]) -> Steps:
        """Return the work of `answer`: it asks for completions, first of scores, then of texts."""
        encoded = self.encoder.encode_each([(task.query, task.document) for task in payloads])
        prompts = {row: item for row, item in enumerate(encoded) if isinstance(item, EncodedPrompt)}
        logits = dict(
            zip(prompts, self._logits((yield self._to_score(prompts.values()))), strict=True)
        )
        limits = {
            row: payloads[row].max_new_tokens
            for row, logit in logits.items()
            if payloads[row].max_new_tokens and logit > payloads[row].write_above
        }
        texts: dict[int, list[int]] = {}
        if limits:
            outputs = yield [
                self._to_write(prompts[row], most, payloads[row].selects)
                for row, most in limits.items()
            ]
            stops = self._ends[False].stops
            texts = {
                row: [token for token in output.token_ids if token not in stops]
                for row, output in zip(limits, outputs, strict=True)
            }
        yes = self.encoder.yes_id
        replies = []
        for row, item in enumerate(encoded):
            if isinstance(item, RowError):
                replies.append(Reply({}, refusal=item.reason))
                continue
            tokens = texts.get(row)
            more = (
                {}
                if tokens is None
                else {"text": self._ends[payloads[row].selects].text([yes, *tokens])}
            )
            value = {"logit": logits[row], "truncated": item.truncated} | more
            replies.append(Reply(value, usage=Usage(len(item), len(tokens or ()))))
        return replies

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the logits of a few short (query, document) pairs."""
        return self._logits(self.generate(self._to_score(self.encoder.encode_batch(pairs))))

    def forget(self) -> None:
        """Do nothing: vLLM manages its cache."""

    def generate(self, asked: Sequence[Asked]) -> list[Any]:
        """Return vLLM's greedy completion of each prompt, in order."""
        from vllm import SamplingParams

        if not asked:
            return []
        outputs = self._llm.generate(
            [{"prompt_token_ids": ids} for ids, _ in asked],
            [SamplingParams(temperature=0.0, **options) for _, options in asked],
            use_tqdm=False,
        )
        return [output.outputs[0] for output in outputs]

    def _to_score(self, prompts: Iterable[EncodedPrompt]) -> list[Asked]:
        verdicts = [self.encoder.yes_id, self.encoder.no_id]
        options = {"max_tokens": 1, "logprob_token_ids": verdicts, "detokenize": False}
        return [(prompt.ids, options) for prompt in prompts]

    def _logits(self, outputs: Sequence[Any]) -> list[float]:
        """Return the logits from the completions of `_to_score`."""
        yes, no = self.encoder.yes_id, self.encoder.no_id
        firsts = [output.logprobs[0] for output in outputs]
        logits = [first[yes].logprob - first[no].logprob for first in firsts]
        if not all(map(math.isfinite, logits)):
            raise ModelError(
                f"{self.spec}: scores are not finite numbers; the weights are damaged, or the type "
                "is too narrow: try --dtype bfloat16 or float32"
            )
        return logits

    def _to_write(self, prompt: EncodedPrompt, limit: int, selects: bool) -> Asked:
        options = {
            "max_tokens": limit,
            "stop": [CLOSINGS[selects]],
            "include_stop_str_in_output": True,
            "stop_token_ids": sorted(self._ends[selects].stops),
        }
        return [*prompt.ids, self.encoder.yes_id], options


def load_vllm_reranker(
    spec: str,
    *,
    dtype: str = "auto",
    profile: str | None = None,
    max_tokens: int = MAX_TOKENS,
    max_new_tokens: int = MAX_NEW_TOKENS,
    kind: type[VllmReranker] = VllmReranker,
    **options: Any,
) -> VllmReranker:
    """Load the reranker of a model spec on vLLM, on the device that vLLM was built for.

    Args:
        dtype: "auto" is the dtype of the stored weights.
        max_new_tokens: maximum tokens of a text; prompts leave room for it.
        kind: class of the result.
        options: further arguments of vllm.LLM (tensor_parallel_size, gpu_memory_utilization, …).

    Raises:
        MissingPackageError: vllm is not installed.
        ModelError: there is no such model, it is an adapter, or vLLM cannot load it.
        ArgumentError: as `prompt_limit`.
    """
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        if error.name != "vllm":
            raise ModelError(f"--engine vllm: vllm cannot be imported: {error}") from error
        raise MissingPackageError("vllm", "local,vllm", pinned=False) from None

    folder = resolve_model(spec)
    if folder.adapter is not None:
        raise ModelError(
            f"model {spec}: an adapter; --engine vllm needs merged weights. Write them with "
            f"`prism export {spec} -o DIR`, then use DIR as the model"
        )
    tokenizer = load_tokenizer(folder.path)
    room = max_new_tokens + 1
    config = load_config(folder.path)
    max_tokens = prompt_limit(max_tokens, config, spec, folder.defaults, room=room)
    encoder = PromptEncoder(tokenizer, folder.profile(tokenizer, profile), max_tokens)
    try:
        llm, started = kind.start(
            model=str(folder.path),
            dtype=dtype,
            max_model_len=max_tokens + room,
            enable_prefix_caching=True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, RuntimeError, TypeError, ImportError) as error:
        raise ModelError(f"model {spec}: vLLM cannot load it: {first_line(error)}") from error
    number_type = str(started.dtype).removeprefix("torch.")
    figures = {
        "engine": f"vllm {version_of_vllm()}", "dtype": number_type, "max_tokens": max_tokens,
    }  # fmt: skip
    identity = f"vllm {folder.fingerprint} {encoder.fingerprint} {number_type}"
    return kind(llm, encoder, spec, f"rerank {identity}", figures, folder.defaults)


def version_of_vllm() -> str:
    """Return the version of the installed vllm module."""
    import vllm

    return str(getattr(vllm, "__version__", None) or version("vllm"))
