"""`prism relabel` over rows of 2 KB whose replies are all in the ledger: the cost of the engine,
the stage and a chat judge without requests.

python tests/benchmarks/relabel_rows.py [--rows 200000] [--judges 1] [--folder DIR]

The ledger is filled first, with a yes to every question; then the command runs in a process of its
own, and orjson parses and writes the same rows in another. `peak` is the largest resident memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.benchmarks.engine_rows import make_rows, plain  # noqa: E402

GROUP = 5000


def judges(count: int) -> list[str]:
    return [f"lab/judge-{number}" for number in range(count)]


def fill(rows: Path, specs: list[str], provider_file: Path, ledger: Path) -> None:
    """Store a yes of every judge to every row."""
    from prism_cli.commands import paid_wiring
    from prism_cli.commands.options import Paid
    from prism_cli.ports import Reply, Request, Usage
    from prism_cli.shards.ledger import Ledger
    from prism_cli.shards.reader import read_rows
    from prism_cli.stages.relabel import RelabelStage

    catalog = paid_wiring.catalog(Paid(provider_file=str(provider_file)))
    panel = paid_wiring.judges(specs, paid_wiring.judge_task(None), catalog)
    stage = RelabelStage(panel)

    def questions() -> Iterator[Request]:
        for _, row in read_rows([str(rows)]):
            yield from (question for question, _ in stage.forecast_requests(row))

    stored, group = Ledger(ledger), []
    for question in questions():
        group.append((question, Reply({"vote": "yes"}, usage=Usage(700, 1, 0.0002))))
        if len(group) == GROUP:
            stored.commit("relabel", "made", group)
            group = []
    if group:
        stored.commit("relabel", "made", group)
    stored.close()


def measured(command: list[str], **environment: str) -> tuple[float, float, float]:
    """Return wall seconds, processor seconds and peak MiB of a process."""
    runner = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", runner, *command],
        env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, busy, peak = map(float, done.stdout.split()[-3:])
    return seconds, busy, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--judges", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to put about 6 KB a row")
    parser.add_argument("--plain", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain(*options.plain)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        rows, out, file = folder / "in.jsonl", folder / "out.jsonl", folder / "providers.toml"
        specs = judges(options.judges)
        file.write_text('[providers.lab]\napi = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n')
        make_rows(rows, options.rows)
        started = time.perf_counter()
        fill(rows, specs, file, folder / "ledger.sqlite")
        print(f"{options.rows:,} rows, {options.judges} judges; ledger filled in "
              f"{time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
        words = [sys.executable, "-m", "prism_cli", "relabel", str(rows), "-o", str(out), "-q"]
        words += ["--provider-file", str(file)]
        for spec in specs:
            words += ["--judge", spec]
        alone = [sys.executable, __file__, "--plain", str(rows), str(folder / "plain.jsonl")]
        for what, command in (("orjson alone", alone), ("relabel, all in the ledger", words)):
            seconds, busy, peak = measured(command, PRISM_STATE=str(folder), PYTHONPATH=str(ROOT))
            print(f"{what:28} {seconds:7.2f} s {busy:7.2f} cpu s {busy / options.rows * 1e6:7.1f} "
                  f"us/row {peak:6.0f} MiB", flush=True)  # fmt: skip
        assert sum(1 for _ in out.open("rb")) == options.rows


if __name__ == "__main__":
    main()
