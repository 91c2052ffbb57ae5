"""Figures of scoring and of writing evidence, for gpu_check."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker
from prism_cli.ports import RerankTask
from tests.benchmarks.gpu_checks import rerank
from tests.benchmarks.gpu_models import (
    config_of,
    loaded_model,
    make_pairs,
    save_model,
    timed,
    tokenizer,
    work_of,
)

Figures = dict[str, Any]
Pair = tuple[str, str]


class InferenceSizes(NamedTuple):
    """What is measured.

    Attributes:
        lengths: tokens of documents.
        documents: of each query.
        texts, text_tokens: how many texts are written together, and their length.
        loop: how many of them the batch-1 loop writes.
        seconds: roughly, of each measurement after warming up.
    """

    lengths: tuple[int, ...] = (60, 250, 1000)
    documents: int = 20
    texts: int = 128
    text_tokens: int = 128
    loop: int = 2
    seconds: float = 4.0


TINY = InferenceSizes((20,), 4, 4, 6, 1, 0.0)


def scoring(name: str, device: str, *, attn: str = "sdpa", tiny: bool = False) -> list[Figures]:
    """Return figures of scoring by length of documents: prism's, and a padded batch's beside it.

    Tokens a second count each query's prefix once; pairs a second compare the two ways.
    """
    sizes, place = TINY if tiny else InferenceSizes(), torch.device(device)
    ours = _reranker(name, place, tiny, attn)
    work = work_of(ours.loaded.model)
    results = []
    for length in sizes.lengths:

        def pairs(queries: int, length: int = length) -> list[Pair]:
            return make_pairs(ours.encoder, queries, [length] * sizes.documents)

        def score(some: list[Pair]) -> list[float]:
            replies = rerank(ours, [RerankTask(*pair) for pair in some])
            return [float(reply.value["logit"]) for reply in replies]  # type: ignore[arg-type]

        count, seconds, logits = _sized(place, score, pairs, sizes.seconds)
        tokens, keys = _tokens(ours, pairs(count))
        several, padded_seconds, padded = _sized(
            place, lambda some: _padded(ours, some), pairs, sizes.seconds
        )
        both = min(count, several) * sizes.documents
        apart = max(abs(a - b) for a, b in zip(logits[:both], padded[:both], strict=True))
        speed, other = (
            queries * sizes.documents / spent
            for queries, spent in ((count, seconds), (several, padded_seconds))
        )
        results.append(
            {
                "model": name,
                "attention": attn,
                "document_tokens": length,
                "pairs": count * sizes.documents,
                "pairs_per_second": speed,
                "tokens_per_second": tokens / seconds,
                "flops": work.forward(tokens, keys) / seconds,
                "padded_pairs_per_second": other,
                "ratio": speed / other,
                "largest_difference": apart,
                "batch_tokens": ours.batch_tokens,
            }
        )
    return results


def evidence(name: str, device: str, *, tiny: bool = False) -> list[Figures]:
    """Return figures of texts written together, with and without drafts, against batch 1.

    Random weights rarely end a text, so that all have the same length; they repeat themselves, so
    drafts are accepted more often, or less, than a trained model's.
    """
    sizes, place = TINY if tiny else InferenceSizes(), torch.device(device)
    ours = _reranker(name, place, tiny)
    pairs = make_pairs(ours.encoder, sizes.texts // 4, [sizes.lengths[0]] * 4)
    tasks = [RerankTask(*pair, sizes.text_tokens, float("-inf")) for pair in pairs]
    rerank(ours, tasks[:4])
    _generated(ours, pairs[0], 2)
    loop_seconds, loop_tokens = timed(
        place,
        lambda: sum(_generated(ours, pair, sizes.text_tokens) for pair in pairs[: sizes.loop]),
    )
    results = []
    for drafts in (True, False) if ours._pass.supports_rollback else (False,):
        ours.writer._drafts = drafts
        counts = ours.writer.passes
        before = counts.rows, counts.accepted
        seconds, replies = timed(place, lambda: rerank(ours, tasks))
        rows, accepted = counts.rows - before[0], counts.accepted - before[1]
        tokens = sum(reply.usage.output_tokens for reply in replies)
        results.append(
            {
                "model": name,
                "drafts": drafts,
                "texts": len(tasks),
                "tokens_per_second": tokens / seconds,
                "loop_tokens_per_second": loop_tokens / loop_seconds,
                "ratio": tokens / seconds / (loop_tokens / loop_seconds),
                "tokens_per_pass": 1 + accepted / max(rows, 1),
            }
        )
    return results


def vllm(name: str, device: str, *, tiny: bool = False) -> list[Figures] | str:
    """Return figures of vLLM with prefix caching on the same pairs, or why there are none."""
    python = os.environ.get("PRISM_VLLM_PYTHON", sys.executable)
    if device == "cpu" or tiny:
        return "needs a GPU"
    if python == sys.executable and find_spec("vllm") is None:
        return "vllm is not installed here; PRISM_VLLM_PYTHON names a Python that has it"
    with TemporaryDirectory() as folder:
        spec = save_model(
            config_of(name), Path(folder) / name, torch.bfloat16, torch.device(device)
        )
        words = [python, "-m", "tests.benchmarks.gpu_vllm", spec, name]
        done = subprocess.run(words, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        return f"vllm failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}"
    figures: list[Figures] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _reranker(
    name: str, device: torch.device, tiny: bool, attn: str = "sdpa"
) -> TransformersReranker:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return TransformersReranker(loaded_model(name, device, dtype, tiny=tiny, attn=attn), name)


def _sized(
    device: torch.device,
    work: Callable[[list[Pair]], list[float]],
    pairs: Callable[[int], list[Pair]],
    seconds: float,
) -> tuple[int, float, list[float]]:
    """Run on so many queries that it takes about `seconds`; return them, seconds and result."""
    few = pairs(4)
    work(few)  # compiles kernels, allocates memory
    taken, _ = timed(device, lambda: work(few))
    count = max(4, min(400, int(4 * seconds / taken)))
    some = pairs(count)
    return (count, *timed(device, lambda: work(some)))


def _tokens(ours: TransformersReranker, pairs: Sequence[Pair]) -> tuple[int, int]:
    """Return the tokens that must be computed, and the keys that all of them attend to."""
    tails, prefixes = 0, {}
    keys = 0
    for (query, _), prompt in zip(pairs, ours.encoder.encode_batch(list(pairs)), strict=True):
        before, own = len(prompt.prefix_ids), len(prompt.tail_ids)
        prefixes[query] = before
        tails += own
        keys += own * before + own * (own + 1) // 2
    return tails + sum(prefixes.values()), keys


@torch.inference_mode()
def _padded(ours: TransformersReranker, pairs: list[Pair]) -> list[float]:
    """Return logits as sentence-transformers computes them: sorted, batches of 32, padded left."""
    encoder, model = ours.encoder, ours.loaded.model
    causal: Any = model
    prompts = [prompt.ids for prompt in encoder.encode_batch(pairs)]
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    logits = [0.0] * len(prompts)
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        longest = len(prompts[rows[0]])
        ids = [[0] * (longest - len(prompts[row])) + prompts[row] for row in rows]
        mask = [[0] * (longest - len(prompts[row])) + [1] * len(prompts[row]) for row in rows]
        last = causal(
            input_ids=torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            use_cache=False,
            logits_to_keep=1,
        ).logits[:, -1]
        found = (last[:, encoder.yes_id] - last[:, encoder.no_id]).float().tolist()
        for row, logit in zip(rows, found, strict=True):
            logits[row] = logit
    return logits


@torch.inference_mode()
def _generated(ours: TransformersReranker, pair: Pair, tokens: int) -> int:
    """Write one text with transformers' generate; return its number of tokens."""
    model: Any = ours.loaded.model
    ids = torch.tensor([[*ours.encoder.ids(*pair), ours.encoder.yes_id]], device=model.device)
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=sorted(ours.writer.stops),
        pad_token_id=tokenizer().pad_token_id or 0,
    )
    return int(out.shape[1] - ids.shape[1])
