"""The engine's own cost: identity-like stages over rows of 2 KB, against orjson alone.

python tests/benchmarks/engine_rows.py [--rows 1000000] [--repeat 3] [--folder DIR]

Four lines for each size: orjson parsing and writing the same rows (no check, no digest, no fsync);
a stage without requests; a stage with one request a row, all replies already in the ledger; the
same without stored replies (a model that answers at once). Each runs in a separate process;
`peak` is its largest resident memory. Ratios are to orjson over the same rows, in wall seconds and
in processor seconds; on a shared machine the latter are more reliable.
"""

import argparse
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))


def make_rows(path: Path, count: int) -> None:
    """Pair rows of 2 KB of real words, 20 documents a query."""
    import orjson

    from tests.mini import MINI

    dice = random.Random(0)
    text = " ".join((MINI / "corpus.jsonl").read_text().split())
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(count):
            start = dice.randrange(len(text) - 2000)
            query = number // 20
            row = {
                "query_id": f"q{query}",
                "query": f"what is said about item {query}?",
                "doc_id": f"d{number}",
                "document": text[start : start + 1800],
                "source": "made",
                "teacher_scores": {"a/b": 0.123456789, "c/d": 0.5},
            }
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def plain(source: Path, out: Path) -> None:
    """Parse and write the rows with orjson alone."""
    import orjson

    with source.open("rb", buffering=1 << 20) as rows, out.open("wb", buffering=1 << 20) as file:
        for raw in rows:
            file.write(orjson.dumps(orjson.loads(raw), option=orjson.OPT_APPEND_NEWLINE))


def through_engine(kind: str, source: Path, out: Path) -> None:
    """Run the engine with a stage that does almost nothing."""
    from prism_cli.engine.runner import RunOptions, run_rows
    from tests.fakes import EchoStage, ScoreStage, ScriptedBatch

    class Quick(ScriptedBatch):
        def plan(self, payloads):  # type: ignore[no-untyped-def]
            return [list(range(len(payloads)))]

        def answer(self, payloads):  # type: ignore[no-untyped-def]
            replies = super().answer(payloads)
            self.asked.clear()
            return replies

    stage = EchoStage() if kind == "engine, no requests" else ScoreStage(Quick())
    summary = run_rows(stage, [str(source)], RunOptions(output=out, overwrite=True, quiet=True))
    assert summary.counts.done == summary.counts.rows > 0
    if kind == "engine, replies in the ledger":
        assert summary.usage.asked == 0


KINDS = [
    "orjson alone", "engine, no requests", "engine, new replies", "engine, replies in the ledger",
]  # fmt: skip


def measured(kind: str, source: Path, out: Path, repeat: int) -> list[float]:
    """Return wall seconds, processor seconds and peak MiB of one kind, in separate processes;
    the minimum of `repeat` runs."""
    runs = [once(kind, source, out) for _ in range(repeat)]
    return [min(figures) for figures in zip(*runs, strict=True)]


def once(kind: str, source: Path, out: Path) -> list[float]:
    """Return the same figures of a single run."""
    if kind == "engine, new replies":
        shutil.rmtree(out.parent / "local", ignore_errors=True)  # those of a local model
    done = subprocess.run(
        [sys.executable, __file__, "--one", kind, str(source), str(out)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [float(figure) for figure in done.stdout.split()]


def one(kind: str, run_once: Path, out: Path) -> None:
    """Run one kind here and print its seconds and peak MiB."""
    import orjson  # noqa: F401  its import is nobody's cost

    started, busy = time.perf_counter(), time.process_time()
    plain(run_once, out) if kind == "orjson alone" else through_engine(kind, run_once, out)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    print(seconds, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; the least counts")
    parser.add_argument("--folder", type=Path, help="where to put about 6 KB a row")
    parser.add_argument("--one", nargs=3, metavar=("KIND", "IN", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], Path(options.one[1]), Path(options.one[2]))
        return
    libraries = ", ".join(f"{name} {version(name)}" for name in ("prism-cli", "orjson"))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {libraries}")
    heads = f"{'seconds':>8} {'us/row':>7} {'ratio':>6} {'cpu s':>7} {'ratio':>6} {'peak MiB':>9}"
    print(f"{'rows':>9}  {'what':30} {heads}")
    for count in (100_000, options.rows):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            os.environ["PRISM_STATE"] = folder
            rows = Path(folder) / "in.jsonl"
            make_rows(rows, count)
            base: list[float] = []
            for kind in KINDS:
                out = Path(folder) / ("orjson.jsonl" if kind == KINDS[0] else "out.jsonl")
                seconds, busy, peak = figures = measured(kind, rows, out, options.repeat)
                base = base or figures
                print(
                    f"{count:9,}  {kind:30} {seconds:8.2f} {seconds / count * 1e6:7.1f} "
                    f"{seconds / base[0]:6.2f} {busy:7.2f} {busy / base[1]:6.2f} {peak:9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
