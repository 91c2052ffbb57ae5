"""Memory, disk and time of the surveys of `sample` and `split`, by number of rows.

python tests/benchmarks/survey_growth.py [--rows 100000 1000000]

Rows are synthetic: documents of 60 words of 20,000, all positive; a query for every five, and one
row in ten near another one. A line for each survey and number of rows: seconds to read a row and to
merge, bytes of a part for each row, and the peak of memory that the merge adds. The last line of a
survey is the slope: bytes of memory that a row more takes.
"""

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from prism_cli.engine.survey import LocatedRow, Survey
from prism_cli.engine.surveys import PART_ROWS
from prism_cli.shards.spill import SpilledObjects
from prism_cli.stages.sample import SampleStage
from prism_cli.stages.split import SplitStage
from tests.benchmarks.eval_corpus import resident

SURVEYS = ("sample by size", "sample by the paper's rule", "split")


def survey_of(name: str) -> Survey:
    """Return a survey by its name in SURVEYS."""
    surveys: dict[str, Survey] = {
        "sample by size": SampleStage(5000).survey,
        "sample by the paper's rule": SampleStage(web_sources=["s1"]).survey,
        "split": SplitStage().survey,
    }
    return surveys[name]


def rows(count: int) -> Iterator[LocatedRow]:
    """Yield synthetic rows of one shard."""
    dice = random.Random(0)
    words = [f"w{number}x" for number in range(20_000)]
    query, document = "", [""]
    for line in range(1, count + 1):
        if line % 5 == 1:
            query = " ".join(dice.choices(words, k=9))
        if line % 10:
            document = dice.choices(words, k=60)
        else:
            document[7] = dice.choice(words)
        row: dict[str, Any] = {"query": query, "document": " ".join(document), "verdict": "yes"}
        row |= {"source": f"s{line % 3}", "teacher_score": dice.random()}
        yield LocatedRow("in.jsonl", line, row)


def measured(name: str, count: int) -> int:
    """Print a line; return the bytes of memory that the merge adds at its peak."""
    survey, source = survey_of(name), rows(count)
    parts, size, seconds = SpilledObjects[bytes](), 0, 0.0
    while some := list(islice(source, PART_ROWS)):
        started = time.process_time()
        part = survey.read(some)
        seconds += time.process_time() - started
        size += len(part)
        parts.append(part)
    del some, part
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    started = time.process_time()
    survey.merge(parts)  # type: ignore[arg-type]
    merged, used = time.process_time() - started, resident("VmHWM") - before
    print(
        f"{name:26} {count:>10,} rows: read {seconds / count * 1e6:5.1f} us and "
        f"{size / count:4.0f} bytes a row, merge {merged / count * 1e6:5.1f} us a row, "
        f"{used / 1e6:6,.0f} MB more",
        flush=True,
    )
    return used


def main() -> None:
    """Measure each survey at each number of rows, in a process each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--surveys", nargs="+", default=SURVEYS, choices=SURVEYS)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        for name in options.surveys:
            used = [pool.submit(measured, name, count).result() for count in options.rows]
            if len(used) > 1:
                slope = (used[-1] - used[0]) / (options.rows[-1] - options.rows[0])
                print(f"{name:26} {slope:.0f} bytes of memory a row more")


if __name__ == "__main__":
    main()
