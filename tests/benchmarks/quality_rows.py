"""`prism eval quality`: rows per second of the stage and of the fold, and the fold's memory.

python tests/benchmarks/quality_rows.py [ROWS [PROCESSES]]

Default: 20,000 rows, and one process for each core; a million rows for the memory, one process for
the processor time of a row.
"""

import argparse
import resource
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).parents[2]))

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.evaluation.quality.evaluate import QualityOptions, evaluate
from prism_cli.evaluation.quality.stage import QualityStage
from prism_cli.evaluation.quality.text_figures import FigurePool
from prism_cli.evaluation.rows_evaluation import ROWS
from tests.factories import read_jsonl
from tests.mini import MINI

A_QUERY = 10


def main(count: int, processes: int | None) -> None:
    """Measure passages, three of ten with a yes whose evidence is their first half."""
    texts = [row["text"] for row in read_jsonl(MINI / "corpus.jsonl")]
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "in.jsonl", Path(folder) / "out"
        with source.open("wb") as file:
            for number in range(count):
                text, yes = texts[number % len(texts)], number % A_QUERY < 3
                row = {
                    "query_id": f"q{number // A_QUERY}",
                    "query": "which",
                    "document": text,
                    "score": 0.9 if yes else 0.1,
                    "predicted_verdict": "yes" if yes else "no",
                    "predicted_contribution": "c" if yes else None,
                    "predicted_evidence": text[: len(text) // 2] if yes else None,
                    "format_ok": True if yes else None,
                }
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        began, busy = time.monotonic(), time.process_time()
        with closing(FigurePool(processes)) as pool:
            stage = QualityStage(baselines=("document", "lead"), pool=pool)
            run_rows(stage, [str(source)], RunOptions(output=output / ROWS, quiet=True))
        staged, busy = time.monotonic(), time.process_time() - busy
        evaluate(QualityOptions(output=output, quiet=True))
        folded = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"stage, the processor time of this process: {busy / count * 1e3:.2f} ms a row")
    print(f"stage: {count / (staged - began):,.0f} rows/s; fold: {count / (folded - staged):,.0f}")
    print(f"{count:,} rows, {-(-count // A_QUERY):,} queries: peak {peak} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", type=int, nargs="?", default=20_000)
    parser.add_argument("processes", type=int, nargs="?", help="default: one for each core")
    options = parser.parse_args()
    main(options.rows, options.processes)
