"""The cost of sharding, and of finding the queries that stand in two shards.

python tests/benchmarks/shard_queries.py [--rows 1000000] [--queries 10000000]

First `prism shard` over synthetic rows of 0.9 KB, 50 to a query, in a process of its own; then the
hashes of that many queries, 20,000 to a part on disk, are compared. Seconds on the clock, and the
largest resident memory.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from prism_cli.shards.shared_keys import shared_hashes
from prism_cli.shards.spilled_parts import SpilledParts

PART = 20_000


def resident(who: int) -> float:
    """Return the largest resident memory in MiB, of this process or of its children."""
    return resource.getrusage(who).ru_maxrss / 1024


def shard(folder: Path, rows: int) -> None:
    """Measure `prism shard` over `rows` rows."""
    import orjson

    source = folder / "rows.jsonl"
    with source.open("wb") as file:
        for number in range(rows):
            query = f"what is {number // 50}"
            row = {"query_id": f"q{number // 50}", "query": query, "document": f"{number} " * 120}
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    began = time.monotonic()
    words = [sys.executable, "-m", "prism_cli", "shard", str(source), "-o", str(folder / "in")]
    subprocess.run([*words, "-q"], check=True)
    seconds, memory = time.monotonic() - began, resident(resource.RUSAGE_CHILDREN)
    size = source.stat().st_size / 1e9
    print(f"{rows:,} rows, {size:.1f} GB: {seconds:.0f} s, {memory:.0f} MiB")


def compare(queries: int) -> None:
    """Measure the comparison of `queries` hashes."""
    parts, dice = SpilledParts(), random.Random(0)
    for _ in range(queries // PART):
        part = array("Q")
        part.frombytes(dice.randbytes(PART * part.itemsize))
        parts.append(array("Q", sorted(part)).tobytes())
    before, began = resident(resource.RUSAGE_SELF), time.monotonic()
    shared = len(shared_hashes(parts))
    seconds, after = time.monotonic() - began, resident(resource.RUSAGE_SELF)
    print(f"{queries:,} queries, {shared} shared: {seconds:.0f} s, {before:.0f} to {after:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=10_000_000)
    options = parser.parse_args()
    compare(options.queries)
    with tempfile.TemporaryDirectory() as place:
        shard(Path(place), options.rows)
