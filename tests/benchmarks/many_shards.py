"""The cost of planning, resuming and showing a run over many shards, all finished.

python tests/benchmarks/many_shards.py [--shards 10000 100000] [--folder DIR]

Makes shards of one row with their outputs, manifests and locks (one is really converted, the others
are copies of its files with their own names and digests), then measures three commands, each in a
process of its own: `prism convert in -o out` where nothing is left to do, `prism status out` and
`prism status out --json`. Seconds on the clock and of the processor, and the largest resident
memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

PRISM = [sys.executable, "-m", "prism_cli"]


def make_shards(folder: Path, count: int) -> None:
    """Write in/part-*.jsonl and the files of a finished run in out/."""
    import orjson

    (folder / "in").mkdir(parents=True)
    for number in range(count):
        row = {"query": f"q{number}", "document": f"text {number}"}
        data = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        (folder / "in" / f"part-{number:06d}.jsonl").write_bytes(data)
    first = "part-000000.jsonl"
    subprocess.run([*PRISM, "convert", f"in/{first}", "-o", "out/", "-q"], cwd=folder, check=True)
    manifest = orjson.loads((folder / "out" / f"{first}.manifest.json").read_bytes())
    time.sleep(0.1)
    for number in range(1, count):
        name = f"part-{number:06d}.jsonl"
        source, out = folder / "in" / name, folder / "out" / name
        data = source.read_bytes()
        out.write_bytes(data)
        (folder / "out" / f".{name}.lock").touch(mode=0o600)
        (entry,) = manifest["inputs"]
        entry |= {"path": f"in/{name}", "bytes": len(data), "sha256": sha256(data).hexdigest()}
        if "changed_ns" in entry:
            entry["changed_ns"] = source.stat().st_mtime_ns
            entry["inode_changed_ns"] = source.stat().st_ctime_ns
        changed = out.stat().st_mtime_ns
        record = {"bytes": len(data), "sha256": entry["sha256"], "changed_ns": changed}
        manifest["outputs"] = {name: record}
        out.with_name(f"{name}.manifest.json").write_bytes(
            orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )


def measure(folder: Path, *words: str) -> str:
    """Run prism; return its cost as cells of a table."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*PRISM, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    assert os.waitstatus_to_exitcode(status) == 0, words
    busy = used.ru_utime + used.ru_stime
    return f"{seconds:8.1f} {busy:9.1f} {used.ru_maxrss / 1024:8.0f}"


def main() -> None:
    """Print a line for each command and number of shards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where to make them; kept and reused")
    options = parser.parse_args()
    commands = (("convert", "in", "-o", "out"), ("status", "out"), ("status", "out", "--json"))
    print(f"{'shards':>7}  {'command':<22} {'seconds':>8} {'processor':>9} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        for count in options.shards:
            folder = (options.folder or Path(temporary)) / str(count)
            if not folder.is_dir():
                make_shards(folder, count)
            for words in commands:
                print(f"{count:7}  {' '.join(words):<22} {measure(folder, *words)}", flush=True)


if __name__ == "__main__":
    main()
