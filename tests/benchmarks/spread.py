"""Shards over several workers: overhead, speed-up, start-up, and the driver by number of shards.

python tests/benchmarks/spread.py [--only PART …] [--shards 24] [--folder DIR]

Parts, each with ratios within one run:
- `overhead`: seconds that a shard takes besides its work, here (`one process`), with --join and on
  Ray: median and largest over the shards, from the times at which their outputs were published.
- `speed`: rows per second of 1, 2 and 4 Ray workers whose stage only waits.
- `start`: seconds until a Ray actor has built its stage, without and with a cluster at hand.
- `ledger`: replies per second that processes commit to a shared ledger and to ledgers of their own.
- `driver`: seconds and memory of the driver that plans and hands out 10^3, 10^4 and 10^5 shards to
  workers that only publish, and of a run that finds them finished.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))
RUNNER = str(ROOT / "tests" / "stage_runner.py")
ROWS = 8


def make_shards(folder: Path, count: int, rows: int = ROWS) -> Path:
    """Write shards of pair rows."""
    from tests.factories import make_pair, write_jsonl

    folder.mkdir()
    for shard in range(count):
        write_jsonl(
            folder / f"{shard:06}.jsonl",
            [make_pair(row, document=f"{shard} {row}") for row in range(rows)],
        )
    return folder


def score(given: Path, out: Path, *words: str, seconds: float = 0.0) -> "subprocess.Popen[bytes]":
    """Start a run whose stage waits `seconds` for eight rows."""
    command = ["score", str(given), "-o", str(out), "-q", "--seconds", str(seconds), *words]
    return subprocess.Popen([sys.executable, RUNNER, *command])


def finish(*processes: "subprocess.Popen[bytes]") -> None:
    """Wait for runs, which must succeed."""
    for process in processes:
        assert process.wait() == 0


def gaps(out: Path, workers: int, work: float) -> list[float]:
    """Return what each shard took besides its work, from when outputs were published."""
    times = sorted(path.stat().st_mtime_ns / 1e9 for path in out.glob("[0-9]*.jsonl"))
    return [(late - early) - work for early, late in zip(times, times[workers:], strict=False)]


def show(name: str, seconds: Sequence[float], work: float) -> None:
    middle, most = statistics.median(seconds), max(seconds)
    print(
        f"{name:<24} median {1000 * middle:7.1f} ms, largest {1000 * most:7.1f} ms a shard of "
        f"{work:g} s ({middle / work:.1%} of it)"
    )


def overhead(folder: Path, shards: int) -> None:
    given, work = make_shards(folder / "overhead", shards), 0.5
    finish(score(given, folder / "here", seconds=work))
    show("one process", gaps(folder / "here", 1, work), work)
    finish(score(given, folder / "joined", "--join", seconds=work))
    show("one process, --join", gaps(folder / "joined", 1, work), work)
    ray = ["--engine-on", "ray", "--workers"]
    finish(score(given, folder / "one", *ray, "1", seconds=work))
    show("one Ray worker", gaps(folder / "one", 1, work), work)


def speed(folder: Path, shards: int) -> None:
    given, work = make_shards(folder / "speed", shards), 0.5
    first = 0.0
    for workers in (1, 2, 4):
        out = folder / f"speed-{workers}"
        finish(score(given, out, "--engine-on", "ray", "--workers", str(workers), seconds=work))
        times = sorted(path.stat().st_mtime_ns / 1e9 for path in out.glob("[0-9]*.jsonl"))
        rate = ROWS * (len(times) - workers) / (times[-1] - times[workers - 1])
        first = first or rate
        print(f"{workers} workers: {rate:6.1f} rows/s, {rate / first:.2f} times one worker's")


def start(folder: Path, _: int) -> None:
    given = make_shards(folder / "start", 1)
    began = time.monotonic()
    finish(score(given, folder / "alone"))
    alone = time.monotonic() - began
    began = time.monotonic()
    finish(score(given, folder / "own", "--engine-on", "ray"))
    own = time.monotonic() - began
    print(f"one shard, one process: {alone:.1f} s; with a Ray cluster of its own: {own:.1f} s")
    from tests.spreads.ray_nodes import ray_nodes

    began = time.monotonic()
    with ray_nodes(hosts=1) as nodes:
        print(f"a cluster of two nodes: {time.monotonic() - began:.1f} s")
        os.environ.update(nodes.variables)
        began = time.monotonic()
        words = ["--engine-on", "ray", "--ray-address", nodes.address]
        finish(score(given, folder / "theirs", *words))
        took = time.monotonic() - began
        print(
            f"one shard on a cluster at hand: {took:.1f} s, of which the actor {took - alone:.1f}"
        )


def _commit(path: Path, replies: int, number: int) -> None:
    from prism_cli.ports import Reply, Request, Usage
    from prism_cli.shards.local_ledger import LocalLedger
    from tests.fakes import ScriptedBatch

    ledger, backend = LocalLedger(path), ScriptedBatch()
    for begin in range(0, replies, 100):
        done = [
            (
                Request(backend, "", f"{number} {index}".encode().ljust(32, b"\0")),
                Reply({"score": 0.5}, usage=Usage(10, 1)),
            )
            for index in range(begin, begin + 100)
        ]
        ledger.commit("score", str(number), b"plan", done)
    ledger.close()


def ledger(folder: Path, _: int) -> None:
    replies, processes = 20_000, 2
    rates = {}
    for kind in ("own", "shared"):
        paths = [folder / f"{kind}{n if kind == 'own' else ''}.sqlite" for n in range(processes)]
        spawn = get_context("spawn")
        running = [
            spawn.Process(target=_commit, args=(path, replies, number))
            for number, path in enumerate(paths)
        ]
        began = time.monotonic()
        for process in running:
            process.start()
        for process in running:
            process.join()
            assert process.exitcode == 0
        rates[kind] = processes * replies / (time.monotonic() - began)
    for kind, rate in rates.items():
        print(f"{processes} processes, ledger {kind:<6}: {rate:8,.0f} replies/s in commits of 100")
    print(f"own / shared: {rates['own'] / rates['shared']:.2f}")


def _drive(folder: str, kind: str) -> None:
    """Plan a run and hand its shards to 16 scripted workers that work in this process."""
    from prism_cli.engine.jobs import Job
    from prism_cli.engine.run_options import RunOptions
    from prism_cli.engine.runner import run_rows
    from prism_cli.spreads.worker_pool import WorkerPool
    from tests.fakes import EchoStage
    from tests.spreads.scripted_cluster import ScriptedCluster, ScriptedWorker

    os.fsync = lambda _: None  # type: ignore[assignment]
    working = 0.0

    class Scripted:
        name = "ray"

        def work(self, jobs: Sequence[Job], worker: Any, board: Any) -> Iterator[Any]:
            def work(_: ScriptedWorker, job: Job) -> Any:
                nonlocal working
                began = time.process_time()
                report = worker.work(job)
                working += time.process_time() - began
                return report

            cluster = ScriptedCluster(work, seconds=0.0)
            pool = WorkerPool(cluster, worker, board, 16, 3, 900.0, clock=cluster.clock)
            yield from pool.run(jobs)
            pool.close()

        def close(self) -> None:
            pass

    options = RunOptions(output=Path(folder) / "out", quiet=True, shared=True)
    began, spent = time.monotonic(), time.process_time()
    summary = run_rows(EchoStage(), [str(Path(folder) / "in")], options, Scripted())
    took, used = time.monotonic() - began, time.process_time() - spent
    shards = len(summary.outputs) + len(summary.finished_before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{shards:>7,} shards {kind:<8} {took:7.1f} s; without the workers' own work "
        f"{used - working:6.1f} s of processor time, {1000 * (used - working) / shards:.2f} ms a "
        f"shard; {peak:5.0f} MB",
        flush=True,
    )


def driver(folder: Path, most: int = 100_000) -> None:
    count = 1_000
    while count <= most:
        place = folder / f"driver-{count}"
        place.mkdir()
        make_shards(place / "in", count, rows=1)
        for kind in ("handed", "resumed"):
            process = get_context("spawn").Process(target=_drive, args=(str(place), kind))
            process.start()
            process.join()
            assert process.exitcode == 0
        count *= 10


PARTS: dict[str, Callable[[Path, int], None]] = {
    "overhead": overhead, "speed": speed, "start": start, "ledger": ledger,
    "driver": lambda folder, _: driver(folder),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}")  # fmt: skip
    os.environ["PYTHONPATH"] = str(ROOT)
    for name in options.only:
        print(f"\n{name}", flush=True)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            PARTS[name](Path(folder), options.shards)


if __name__ == "__main__":
    main()
