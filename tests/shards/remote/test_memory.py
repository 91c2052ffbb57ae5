"""Memory does not grow with the size of objects, in and out, JSON Lines and Parquet."""

import os
import subprocess
import sys
from pathlib import Path

from tests.servers.s3 import Bucket, FaultyS3

_RUN = """
import resource, sys
from prism_cli.shards.remote import store
from prism_cli.commands.options import output_path
from prism_cli.engine.runner import RunOptions, run_rows
from tests.fakes import EchoStage
store.WHOLE_BYTES = store.BLOCK_BYTES
peaks = []
for name in ("small.jsonl", "large.jsonl", "large.parquet", "back.jsonl"):
    given = {"large.parquet": "large.jsonl", "back.jsonl": "out/large.parquet"}.get(name, name)
    options = RunOptions(output=output_path(sys.argv[1] + "out/" + name), quiet=True)
    run_rows(EchoStage(), [sys.argv[1] + given], options)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
print(*peaks)
"""
LINE = b'{"query": "q", "document": "' + bytes(range(97, 123)) * 300 + b'"}\n'


def test_memory_does_not_grow_with_an_object(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket.put("small.jsonl", LINE * 2000)  # 16 MB
    bucket.put("large.jsonl", LINE * 6000)  # 47 MB
    done = subprocess.run(
        [sys.executable, "-c", _RUN, bucket[""]],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    small, large, to_parquet, from_parquet = map(int, done.stdout.split())
    assert large < small + 20
    assert from_parquet < to_parquet + 20 < large + 220, "pyarrow itself takes 100"
    assert bucket.get("out/large.jsonl") == bucket.get("out/back.jsonl")
    assert [way for way, _ in proxy.seen].count("POST") == 3 * 2, "uploads in parts"
