"""Time, memory and report size of evaluating candidates that a TREC run file gives.

python tests/benchmarks/eval_run_file.py [--queries 1000] [--candidates 100] [--documents 50000]

The corpus is synthetic; each query has three judged documents, two of them in the run, at random.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def make(folder: Path, queries: int, candidates: int, documents: int) -> None:
    """Write a BEIR folder, and mine.trec beside it."""
    lot = random.Random(0)
    words = ["".join(lot.choices("abcdefghij", k=lot.randint(2, 8))) for _ in range(5_000)]
    (folder / "qrels").mkdir(parents=True)
    with (folder / "corpus.jsonl").open("w") as file:
        for number in range(documents):
            row = {"_id": f"d{number}", "title": "", "text": " ".join(lot.choices(words, k=60))}
            file.write(json.dumps(row) + "\n")
    with (
        (folder / "queries.jsonl").open("w") as queries_file,
        (folder / "qrels" / "test.tsv").open("w") as judged,
        (folder.parent / "mine.trec").open("w") as run,
    ):
        judged.write("query-id\tcorpus-id\tscore\n")
        for number in range(queries):
            text = " ".join(lot.choices(words, k=6))
            queries_file.write(json.dumps({"_id": f"q{number}", "text": text}) + "\n")
            sampled = lot.sample(range(documents), candidates)
            for grade, document in enumerate([*lot.sample(sampled, 2), lot.randrange(documents)]):
                judged.write(f"q{number}\td{document}\t{2 - grade}\n")
            for rank, document in enumerate(sampled, 1):
                run.write(f"q{number} Q0 d{document} {rank} {candidates - rank} mine\n")


def main() -> None:
    """Run the command in a separate process, twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--documents", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "synthetic", Path(place) / "out"
        make(folder, options.queries, options.candidates, options.documents)
        command = [sys.executable, "-m", "prism_cli", "eval", str(folder), "--model", "none", "-q"]
        command += ["--first-stage", f"{place}/mine.trec", "--top-k", str(options.candidates)]
        print(f"{options.queries:,} queries, {options.candidates} candidates each")
        for label in ("first", "again, finished before"):
            started = time.perf_counter()
            subprocess.run([*command, "-o", str(out)], check=True, stdout=subprocess.PIPE)
            print(f"{label}: {time.perf_counter() - started:.2f} s")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"peak memory {peak:.0f} MB")
        for name in ("metrics.json", "report.html"):
            print(f"{name}: {(out / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
