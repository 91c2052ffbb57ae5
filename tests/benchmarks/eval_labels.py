"""Rows a second and peak memory of `prism eval labels` over many rows.

python tests/benchmarks/eval_labels.py [--rows 1000000] [--characters 600]
"""

import argparse
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

JUDGES = [f"lab/judge-{number}" for number in range(1, 6)]


def write_rows(path: Path, count: int, characters: int) -> None:
    """Write labelled rows of a panel of five that stops early, 2 % of them audited."""
    dice = random.Random(0)
    text = "A barge takes gravel to the new lock at noon. " * (characters // 46 + 1)
    with path.open("wb") as file:
        for number in range(count):
            score = dice.random()
            audit = dice.random() < 0.02
            votes: dict[str, str] = {}
            for judge in JUDGES:
                cast = list(votes.values())
                if not audit and max(cast.count("yes"), cast.count("no")) == 3:
                    break
                votes[judge] = "yes" if dice.random() < score else "no"
            yes = list(votes.values()).count("yes")
            row = {
                "query_id": f"q{number // 20}",
                "query": f"what is item {number // 20}",
                "doc_id": f"d{number}",
                "document": text[:characters],
                "source": f"set{number % 5}",
                "source_label": int(score > 0.6),
                "teacher_score": round(score, 6),
                "votes": votes,
                "verdict": "yes" if 2 * yes > len(votes) else "no",
            }
            if audit:
                row["audit"] = True
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def main() -> None:
    """Print one line per size: a tenth of the rows, then all, to compare memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--characters", type=int, default=600)
    options = parser.parse_args()
    print(f"python {platform.python_version()}, {platform.machine()}")
    names = ("rows", "MB", "seconds", "cpu s", "rows/s", "peak MB", "report KB")
    widths = (10, 6, 8, 6, 9, 8, 10)
    print(*(name.rjust(width) for name, width in zip(names, widths, strict=True)))
    with tempfile.TemporaryDirectory() as folder:
        for count in (options.rows // 10, options.rows):
            source, out = Path(folder) / "rows.jsonl", Path(folder) / f"out-{count}"
            write_rows(source, count, options.characters)
            command = [sys.executable, "-m", "prism_cli", "eval", "labels", source, "-o", out, "-q"]
            before, started = _children().ru_utime, time.perf_counter()
            subprocess.run(command, check=True)
            seconds, cpu = time.perf_counter() - started, _children().ru_utime - before
            peak = _children().ru_maxrss / 1024  # of the largest child so far; the sizes grow
            print(
                f"{count:10,} {source.stat().st_size / 1e6:6.0f} {seconds:8.1f} {cpu:6.1f} "
                f"{count / seconds:9,.0f} {peak:8.0f} "
                f"{(out / 'report.html').stat().st_size / 1000:10.0f}",
                flush=True,
            )


def _children() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_CHILDREN)


if __name__ == "__main__":
    main()
