"""Time and peak memory of evaluating BM25 on a large corpus, phase by phase and by the command.

python tests/benchmarks/eval_corpus.py [--documents 1000000] [--queries 100] [--parts 8]
    [--folder DIR]

The index is made whole, and in parts that each take a fraction of its memory; both in processes of
their own, whose memory is counted from before the first document.

The corpus is synthetic: words by Zipf's law over 400,000 forms, 60 a document (log-normal lengths),
a query is some words of its relevant document. It is made once in DIR.
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.first_stages import bm25
from prism_cli.adapters.first_stages.bm25_index import Bm25Index, CorpusStatistics, Postings
from prism_cli.domain.metrics import default_measures, query_values
from prism_cli.evaluation.ranking.runs import Run

FORMS = 400_000
BLOCK = 10_000


def make_corpus(folder: Path, documents: int, queries: int) -> None:
    """Write a BEIR folder."""
    lot = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkqjxz"))
    forms = np.array(
        ["".join(letters[lot.integers(0, 26, size)]) for size in lot.integers(3, 11, FORMS)]
    )
    chances = 1 / (np.arange(FORMS) + 2.7) ** 1.05
    steps = np.cumsum(chances / chances.sum())
    (folder / "qrels").mkdir(parents=True)
    with (folder / "corpus.jsonl").open("w") as corpus:
        for start in range(0, documents, BLOCK):
            sizes = np.clip(lot.lognormal(3.9, 0.6, BLOCK), 4, 1000).astype(int)
            words = forms[np.searchsorted(steps, lot.random(sizes.sum())).clip(max=FORMS - 1)]
            ends = np.cumsum(sizes)
            for number in range(min(BLOCK, documents - start)):
                text = " ".join(words[ends[number] - sizes[number] : ends[number]])
                corpus.write(f'{{"_id": "doc-{start + number}", "title": "", "text": "{text}"}}\n')
    chosen = {int(place): None for place in lot.choice(documents, queries, replace=False)}
    with (
        (folder / "corpus.jsonl").open() as corpus,
        (folder / "queries.jsonl").open("w") as queries_file,
        (folder / "qrels" / "test.tsv").open("w") as judged,
    ):
        judged.write("query-id\tcorpus-id\tscore\n")
        for number, line in enumerate(corpus):
            if number in chosen:
                words = json.loads(line)["text"].split()
                query = " ".join(lot.choice(words, min(len(words), 6), replace=False))
                queries_file.write(json.dumps({"_id": f"q{number}", "text": query}) + "\n")
                judged.write(f"q{number}\tdoc-{number}\t1\n")


def measured(name: str, work: Callable[[], Any]) -> Any:
    """Return the result of `work`; print its seconds and peak resident memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    started, busy = time.perf_counter(), time.process_time()
    result = work()
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"{name:32} {seconds:8.1f} s   {busy:8.1f} s of a core   peak {peak:7,.0f} MB")
    return result


def ranked(folder: Path, memory: int | None) -> tuple[Run, int, int]:
    """Return the candidates of each query; the bytes that the search took, and the estimate.

    Args:
        memory: limit of an index.
    """
    data = BeirSet(folder)
    queries = data.judged_queries("test")
    estimates: list[int] = []

    def index(postings: Postings, statistics: CorpusStatistics) -> Bm25Index:
        estimates.append(postings.memory)
        return Bm25Index(postings, statistics)

    vars(bm25)["Bm25Index"] = index
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    started = time.process_time()
    hits = bm25.Bm25FirstStage(data.texts, memory).search(queries, 101)
    run = {query_id: best for (query_id, _), best in zip(queries, hits, strict=True)}
    seconds, used = time.process_time() - started, resident("VmHWM") - before
    print(
        f"index in {len(estimates):2} and search {seconds:8.1f} s of a core   "
        f"{used / 1e6:,.0f} MB more, estimate {max(estimates) / 1e6:,.0f} MB",
        flush=True,
    )
    return run, used, sum(estimates)


def compare_parts(folder: Path, parts: int) -> Run:
    """Print time and memory of one index and of `parts`; return the candidates of each query."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        run, used, estimate = pool.submit(ranked, folder, None).result()
        same, less, _ = pool.submit(ranked, folder, estimate // parts).result()
    print(f"one index takes {used / less:.1f} times the memory of parts; same run: {run == same}")
    return run


def resident(field: str) -> int:
    """Return resident memory in bytes: `VmRSS` now, `VmHWM` at its peak."""
    return int(Path("/proc/self/status").read_text().partition(f"{field}:")[2].split()[0]) << 10


def main() -> None:
    """Print a line per phase, then run the whole command in a separate process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = options.folder or Path(place) / "corpus"
        if not folder.exists():
            measured("making the corpus", lambda: make_corpus(
                folder, options.documents, options.queries))  # fmt: skip
        size = (folder / "corpus.jsonl").stat().st_size / 1e6
        print(f"{options.documents:,} documents, {size:,.0f} MB, {options.queries} queries")
        data = BeirSet(folder)
        queries = measured("queries, judgements", lambda: data.judged_queries("test"))
        qrels = data.qrels("test")
        measured("a pass over the corpus", lambda: data.missing_documents("test"))
        run = compare_parts(folder, options.parts)
        names = [name for name, _ in queries]
        measured("measures", lambda: query_values(qrels, run, names, default_measures(100)))
        command = [sys.executable, "-m", "prism_cli", "eval", str(folder), "--model", "none"]
        started = time.perf_counter()
        subprocess.run([*command, "-q", "-o", f"{place}/out"], check=True, stdout=subprocess.PIPE)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
        print(
            f"{'prism eval, all of it':32} {seconds:8.1f} s   {busy:8.1f} s of a core   "
            f"peak {peak:7,.0f} MB"
        )


if __name__ == "__main__":
    main()
