"""Pairs a second of `--engine vllm` on a folder, as one line of JSON; gpu_check starts it."""

import argparse
import json
import time

from prism_cli.adapters.runtimes.vllm_runtime import load_vllm_reranker
from prism_cli.ports import RerankTask
from tests.benchmarks.gpu_models import make_pairs

QUERIES, DOCUMENTS, LENGTHS = 40, 20, (60, 250, 1000)


def main() -> None:
    """Print the figures by length of documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", help="the model's folder")
    parser.add_argument("name", help="in the output")
    options = parser.parse_args()
    ours = load_vllm_reranker(options.spec, max_tokens=4096, gpu_memory_utilization=0.6)
    results = []
    for length in LENGTHS:
        pairs = make_pairs(ours.encoder, QUERIES + 2, [length] * DOCUMENTS)
        tasks = [RerankTask(*pair) for pair in pairs]
        warm, rest = tasks[: 2 * DOCUMENTS], tasks[2 * DOCUMENTS :]
        ours.answer(warm)
        started = time.perf_counter()
        ours.answer(rest)
        speed = len(rest) / (time.perf_counter() - started)
        figures = {"document_tokens": length, "pairs_per_second": speed}
        results.append({"model": options.name, **figures})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
