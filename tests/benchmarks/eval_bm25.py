"""nDCG@10 of BM25 on BEIR folders, and the seconds it takes.

python tests/benchmarks/eval_bm25.py BEIR_DIR[:SPLIT]… [--top-k 100]
"""

import argparse
import platform
import resource
import sys
import time
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
from prism_cli.domain.metrics import mean, query_values, without_itself
from prism_cli.evaluation.metrics_file import library_versions


def main() -> None:
    """Print one line per folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--top-k", type=int, default=100)
    options = parser.parse_args()
    names = ("bm25s", "PyStemmer", "pytrec-eval-terrier", "numpy")
    versions = ", ".join(f"{name} {version}" for name, version in library_versions(names).items())
    print(f"{platform.machine()}, {versions}")
    print(
        f"{'set':28} {'documents':>10} {'queries':>8} {'nDCG@10':>8} {'index s':>8} {'search s':>9}"
    )
    for path in options.folders:
        folder, _, split = path.partition(":")
        data = BeirSet(Path(folder))
        split = split or ("test" if "test" in data.splits else data.splits[0])
        queries, qrels = data.judged_queries(split), data.qrels(split)
        started = time.perf_counter()
        ranked = Bm25FirstStage(data.texts).search(queries, options.top_k + 1)
        first = next(ranked)
        indexed = time.perf_counter()
        run = {}
        for (query_id, _), hits in zip(queries, chain([first], ranked), strict=True):
            run[query_id] = without_itself(query_id, hits, qrels[query_id])[: options.top_k]
        searched = time.perf_counter()
        values = query_values(qrels, run, [query_id for query_id, _ in queries], ["nDCG@10"])
        print(
            f"{data.name + ':' + split:28} {sum(1 for _ in data.texts()):10,} {len(queries):8,} "
            f"{mean(values['nDCG@10']):8.4f} {indexed - started:8.2f} {searched - indexed:9.2f}"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
