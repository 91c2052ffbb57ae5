"""Scoring by shape: time a pair and peak memory, each shape in a process of its own.

    python tests/benchmarks/rerank_growth.py BEIR_DIR [--model hf:smollm2] [--tokens 60]
        [--documents 1 5 10 100 1000] [--pairs 400] [--budgets 2048] [--long 8000]

For each number of documents a query, about --pairs pairs (one query at the least) of passages of
about --tokens tokens. `again` is the same shape's time over that of the first shape, both measured
in that shape's own process by turns, so that what else the machine does weighs on both: flat is 1
per token; `tokens_a_pair` says how many real ones (documents, and prefixes once a query) a pair
takes. --budgets measures each shape at several --batch-tokens, by turns, as the first one's time
over theirs. --long adds one document of so many tokens, against the stock forward pass on the
same ids. Times are processor seconds where --threads is 1, else seconds on the wall.
"""

import argparse
import json
import multiprocessing
import resource
import sys
from pathlib import Path
from typing import Any

import torch
from rerank_scoring import Seconds, make_pairs, score, timed

from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker


def main() -> None:
    """Print one line of JSON a shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="BEIR folder: real queries and passages")
    parser.add_argument("--model", default="hf:smollm2")
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--documents", type=int, nargs="+", default=[1, 5, 10, 100, 1000])
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--budgets", type=int, nargs="+", default=[2048])
    parser.add_argument("--long", type=int, default=8000, help="0 for none")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    shapes = [(count, options.tokens) for count in options.documents]
    shapes += [(1, options.long)] if options.long else []
    for documents, tokens in shapes:
        # A fresh process: peak memory is counted from its start.
        context = multiprocessing.get_context("spawn")
        worker = context.Process(target=measure, args=(options, documents, tokens))
        worker.start()
        worker.join()
        if worker.exitcode:
            sys.exit(worker.exitcode)


def measure(options: argparse.Namespace, documents: int, tokens: int) -> None:
    """Measure one shape in this process."""
    torch.set_num_threads(options.threads)
    ours = load_reranker(options.model, dtype=options.dtype, batch_tokens=options.budgets[0])
    alone = tokens == options.long
    queries = 1 if alone else max(1, options.pairs // documents)
    pairs = make_pairs(options.data, ours, tokens, queries, documents)
    first = make_pairs(
        options.data,
        ours,
        options.tokens,
        max(1, options.pairs // options.documents[0]),
        options.documents[0],
    )
    score(ours, first[:2])
    loaded = peak_bytes()
    spent: dict[str, list[float]] = {}

    def take(name: str, work: Any) -> None:
        spent.setdefault(name, []).append(pick(timed(work)[0], options.threads))

    peak = 0.0
    for turn in range(options.turns):
        for budget in options.budgets:
            ours.batch_tokens = budget
            take(str(budget), lambda: score(ours, pairs))
        if turn == 0:
            peak = peak_bytes() - loaded
        ours.batch_tokens = options.budgets[0]
        if alone:
            take("stock", lambda: stock(ours, pairs[0]))
        else:
            take("first", lambda: score(ours, first))
    best = {name: min(all_) for name, all_ in spent.items()}
    seconds = best[str(options.budgets[0])]
    result: dict[str, Any] = {
        "documents": documents,
        "passage_tokens": tokens,
        "queries": queries,
        "ms_a_pair": round(1000 * seconds / len(pairs), 2),
        "tokens_a_pair": round(real_tokens(ours, pairs) / len(pairs), 1),
        "peak_mib": round(peak / 2**20, 1),
    }
    if alone:
        result["stock_over_prism"] = round(best["stock"] / seconds, 3)
    else:
        slowdown = (seconds / len(pairs)) / (best["first"] / len(first))
        per_token = slowdown * real_tokens(ours, first) * len(pairs)
        result["again"] = round(slowdown, 3)
        result["again_a_token"] = round(per_token / (real_tokens(ours, pairs) * len(first)), 3)
    if len(options.budgets) > 1:
        result["speed_by_batch_tokens"] = {
            budget: round(seconds / best[str(budget)], 3) for budget in options.budgets
        }
    print(json.dumps(result), flush=True)


def stock(ours: TransformersReranker, pair: tuple[str, str]) -> None:
    """Run one prompt through transformers' own forward pass, without a head."""
    model: Any = ours.loaded.model
    ids = torch.tensor([ours.encoder.encode(*pair).ids], device=model.device)
    with torch.inference_mode():
        model.get_decoder()(ids, use_cache=False)


def real_tokens(ours: TransformersReranker, pairs: list[tuple[str, str]]) -> int:
    """Return the tokens that must be computed: tails, and prefixes once per query."""
    tails = sum(len(prompt.tail_ids) for prompt in ours.encoder.encode_batch(pairs))
    return tails + sum({q: len(ours.encoder.prefix_ids(q)) for q, _ in pairs}.values())


def peak_bytes() -> float:
    """Return the peak memory of this process; on CUDA, of the device."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def pick(seconds: Seconds, threads: int) -> float:
    """Return the more reliable clock."""
    return seconds.processor if threads == 1 else seconds.wall


if __name__ == "__main__":
    main()
