"""Scores a second: `prism rerank --no-evidence` against sentence-transformers' CrossEncoder.

    python tests/benchmarks/rerank_scoring.py BEIR_DIR [--model hf:smollm2] [--queries 4]
        [--documents 20] [--lengths 60 169 250] [--bfloat16]

Same checkpoint, same prompts, passages of about N tokens (.75 N to 1.25 N); the full size is
--queries 200, and --documents 1 5 20 100 takes several numbers of documents a query.
The two take turns, encoding included; the best time of each counts. "limit" is (tail tokens +
prefix tokens once a query) / the best tokens a second of the stock forward pass over batch shapes,
divided by prism's time. Wall and processor seconds: on a busy machine the second say more, with
--threads 1. --bfloat16 compares its logits and verdicts with those of float32 instead.
"""

import argparse
import itertools
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from sentence_transformers import CrossEncoder

from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker
from prism_cli.domain.chat_template import chat_template
from prism_cli.ports import RerankTask


class Seconds(NamedTuple):
    """Wall and processor seconds of this process; the latter are reliable on a shared machine."""

    wall: float
    processor: float


def main() -> None:
    """Print one line of JSON a passage length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="BEIR folder: real queries and passages")
    parser.add_argument("--model", default="hf:smollm2")
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--documents", type=int, nargs="+", default=[20])
    parser.add_argument("--lengths", type=int, nargs="+", default=[60, 169, 250])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--bfloat16", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{platform.processor() or platform.machine()}, {arguments.threads} threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}",
        file=sys.stderr,
    )
    options = {"batch_tokens": arguments.batch_tokens, "dtype": arguments.dtype}
    ours = load_reranker(arguments.model, **options)
    if arguments.bfloat16:
        narrow = load_reranker(
            arguments.model, batch_tokens=arguments.batch_tokens, dtype="bfloat16"
        )
    else:
        theirs = cross_encoder(ours)
    for length, documents in itertools.product(arguments.lengths, arguments.documents):
        pairs = make_pairs(arguments.data, ours, length, arguments.queries, documents)
        if arguments.bfloat16:
            result = differences(score(ours, pairs), score(narrow, pairs))
        else:
            result = compare(ours, theirs, pairs, length, arguments.turns)
        shape = {"passage_tokens": length, "documents": documents, "pairs": len(pairs)}
        print(json.dumps(shape | result), flush=True)


def cross_encoder(ours: TransformersReranker) -> CrossEncoder:
    """Return the same weights in a CrossEncoder, with the profile as its chat template."""
    loaded = ours.loaded
    model = CrossEncoder(
        str(loaded.path),
        device=str(loaded.model.device),
        model_kwargs={"dtype": loaded.model.dtype},
        local_files_only=True,
    )
    model.tokenizer.chat_template = chat_template(loaded.profile)
    return model


def make_pairs(
    data: Path, ours: TransformersReranker, length: int, queries: int, documents: int
) -> list[tuple[str, str]]:
    """Return real queries with passages cut from real text."""
    lines = (data / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    query_texts = [json.loads(line)["text"] for line in lines[:queries]]
    lines = (data / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    text = " ".join(json.loads(line)["text"] for line in lines)
    ids = itertools.cycle(ours.encoder.document_ids([text])[0])
    lot = random.Random(length)
    decode = ours.loaded.tokenizer.decode
    return [
        (query, decode(list(itertools.islice(ids, lot.randint(3 * length // 4, 5 * length // 4)))))
        for query in query_texts
        for _ in range(documents)
    ]


def compare(
    ours: TransformersReranker,
    theirs: CrossEncoder,
    pairs: list[tuple[str, str]],
    length: int,
    turns: int,
) -> dict[str, float]:
    """Return times, ratio, limit and the largest difference of logits."""
    identity = torch.nn.Identity()
    logits = other = [0.0]
    spent: dict[str, list[Seconds]] = {"prism": [], "cross": [], "forward": []}
    for _ in range(turns):
        seconds, logits = timed(lambda: score(ours, pairs))
        spent["prism"].append(seconds)
        seconds, other = timed(
            lambda: theirs.predict(pairs, activation_fn=identity, show_progress_bar=False).tolist()
        )
        spent["cross"].append(seconds)
        spent["forward"].append(forward_seconds(ours, length))
    prompts = ours.encoder.encode_batch(pairs)
    tokens = sum(len(prompt.tail_ids) for prompt in prompts)
    tokens += sum({query: len(ours.encoder.prefix_ids(query)) for query, _ in pairs}.values())
    result: dict[str, float] = {}
    for kind in ("wall", "processor"):
        best = {name: min(getattr(run, kind) for run in all_) for name, all_ in spent.items()}
        result |= {
            f"{kind}_prism_seconds": round(best["prism"], 2),
            f"{kind}_cross_encoder_seconds": round(best["cross"], 2),
            f"{kind}_ratio": round(best["cross"] / best["prism"], 3),
            f"{kind}_limit": round(tokens * best["forward"] / best["prism"], 3),
        }
    result["largest_difference"] = max(abs(a - b) for a, b in zip(logits, other, strict=True))
    return result


def differences(wide: list[float], narrow: list[float]) -> dict[str, float]:
    """Return the differences of logits in a narrower type from those in float32."""
    from scipy.stats import spearmanr

    apart = [abs(a - b) for a, b in zip(wide, narrow, strict=True)]
    same = [(a > 0) == (b > 0) for a, b in zip(wide, narrow, strict=True)]
    return {
        "median_difference": round(statistics.median(apart), 4),
        "largest_difference": round(max(apart), 4),
        "rank_correlation": round(float(spearmanr(wide, narrow).statistic), 5),
        "equal_verdicts": round(statistics.mean(same), 4),
    }


def score(ours: TransformersReranker, pairs: list[tuple[str, str]]) -> list[float]:
    """Return all logits, with no cache from an earlier turn."""
    ours.forget()
    logits = [0.0] * len(pairs)
    tasks = [RerankTask(*pair) for pair in pairs]
    for batch in ours.plan(tasks):
        for index, reply in zip(batch, ours.answer([tasks[i] for i in batch]), strict=True):
            logits[index] = reply.value["logit"]
    return logits


def forward_seconds(ours: TransformersReranker, length: int) -> Seconds:
    """Return the minimum seconds per token of the stock forward pass over batch shapes."""
    model = ours.loaded.model
    runs = []
    for rows in (8, 16, 32):
        ids = torch.randint(100, 40_000, (rows, length), device=model.device)
        with torch.inference_mode():
            seconds, _ = timed(lambda ids=ids: model.get_decoder()(ids, use_cache=False))
        runs.append(Seconds(seconds.wall / ids.numel(), seconds.processor / ids.numel()))
    return Seconds(min(run.wall for run in runs), min(run.processor for run in runs))


def timed(work: Callable[[], Any]) -> tuple[Seconds, Any]:
    """Return the seconds, and the result."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Seconds(time.perf_counter() - wall, time.process_time() - processor), result


if __name__ == "__main__":
    main()
