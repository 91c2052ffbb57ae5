"""Calls a second to a local server that takes 200 ms, against concurrency / latency.

python tests/benchmarks/paid_calls.py [--calls 4096] [--concurrency 64] [--delay 0.2]

Two judges on every row, so that the second waits for the first. Processor seconds of prism and
the server are shown too: near the wall time, the machine is the limit.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

FILE = """
[providers.lab]
api = "openai"
base_url = "{url}/v1"
concurrency = {concurrency}
models.first = {{ usd_per_million_input = 1.0 }}
models.second = {{ usd_per_million_input = 1.0 }}
"""


def main() -> None:
    from tests.servers.calls import read_log
    from tests.servers.script import launched

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=8192)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--delay", type=float, default=0.2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "in.jsonl").open("w") as file:
            for number in range(options.calls // 2):
                text = f"Document {number} says something about reranking. " * 20
                file.write(json.dumps({"query": f"query {number // 20}", "document": text}) + "\n")
        with launched(folder / "log.jsonl", f"delay = {options.delay}\n") as url:
            book = folder / "providers.toml"
            book.write_text(FILE.format(url=url, concurrency=options.concurrency))
            words = ["relabel", "in.jsonl", "-o", "out.jsonl", "-q", "--provider-file", str(book)]
            words += ["--judge", "lab/first", "--judge", "lab/second", "--audit", "1"]
            started = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "prism_cli", *words],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                check=True,
            )
            wall = time.monotonic() - started
            calls = read_log(folder / "log.jsonl")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime
    span = max(call.at for call in calls) + options.delay - min(call.at for call in calls)
    ideal = options.concurrency / options.delay
    print(
        f"{len(calls)} calls, {options.concurrency} in flight, {options.delay * 1000:.0f} ms each"
    )
    print(f"from the first to the last: {len(calls) / span:.1f} calls/s, ideal {ideal:.1f}")
    print(f"share of the ideal {len(calls) / span / ideal:.3f}; with start-up {wall:.1f} s in all")
    print(f"processor time of prism and the server: {busy / len(calls) * 1000:.2f} ms a call")


if __name__ == "__main__":
    main()
