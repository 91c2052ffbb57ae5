"""`prism shard` into a bucket: one shard after another, whole sets for readers, resumed after a
kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prism_cli.errors import MissingDataError
from prism_cli.shards.reader import find_shards
from tests.door import prism
from tests.factories import jsonl, make_pairs
from tests.servers.s3 import Bucket, Fault, FaultyS3

ROOT = Path(__file__).parents[3]
ROWS = [
    row | {"query": f"query {n // 3}", "query_id": f"q{n // 3}"}
    for n, row in enumerate(make_pairs(30))
]
MANIFEST = "in/shard.jsonl.manifest.json"


def content(bucket: Bucket, name: str = "rows") -> dict[str, bytes]:
    return {
        key.removeprefix("in/"): bucket.get(key)
        for key in bucket.names()
        if key.startswith(f"in/{name}-")
    }


def local(tmp_path: Path, rows: int) -> dict[str, bytes]:
    """Shards of the same rows in a local folder."""
    (tmp_path / "rows.jsonl").write_bytes(jsonl(ROWS))
    out = tmp_path / f"local{rows}"
    done = prism("shard", "rows.jsonl", "-o", out, "--rows", str(rows))
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in out.glob("rows-*")}


@pytest.mark.parametrize("remote_input", [True, False])
def test_a_set_in_a_bucket_is_that_of_a_local_folder(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, remote_input: bool
) -> None:
    expected = local(tmp_path, 7)
    bucket.put("raw/rows.jsonl", jsonl(ROWS))
    given = bucket["raw/rows.jsonl"] if remote_input else "rows.jsonl"
    words = ["shard", given, "-o", bucket["in/"], "--rows", "7"]
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    assert content(bucket) == expected
    assert len(expected) == 4
    puts = [path.rpartition("/")[2] for way, path in proxy.seen if way == "PUT"]
    assert [name for name in puts if not name.startswith(".")] == [
        "shard.jsonl.manifest.json", *sorted(expected), "shard.jsonl.manifest.json",
    ]  # fmt: skip
    assert [shard.name for shard in find_shards([bucket["in"]])] == [
        bucket[f"in/{name}"] for name in sorted(expected)
    ]
    staged = [path for path in tmp_path.rglob("staged-objects/**/rows-*") if path.is_file()]
    assert sum(path.stat().st_blocks for path in staged) == 0, "no shard takes room on the disk"
    assert "finished before" in prism(*words).stderr


def test_a_smaller_set_takes_the_place_of_a_larger_one(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    expected = local(tmp_path, 12)
    assert prism("shard", "rows.jsonl", "-o", bucket["in/"], "--rows", "7").returncode == 0
    refused = prism("shard", "rows.jsonl", "-o", bucket["in/"], "--rows", "12")
    assert refused.returncode == 2
    assert len(content(bucket)) == 4
    words = ["shard", "rows.jsonl", "-o", bucket["in/"], "--rows", "12", "--overwrite"]
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    assert content(bucket) == expected
    assert find_shards([bucket["in"]])


def test_other_rows_in_the_folder_are_not_mixed_with_the_shards(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    local(tmp_path, 12)
    bucket.put("in/other.jsonl", jsonl(ROWS))
    refused = prism("shard", "rows.jsonl", "-o", bucket["in"], "--rows", "12")
    assert refused.returncode == 2
    assert "1 file of rows there would be read beside the shards: other.jsonl" in " ".join(
        refused.stderr.split()
    )
    assert bucket.names() == ["in/other.jsonl"]


def test_a_set_with_a_missing_shard_is_refused(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    local(tmp_path, 7)
    for path in (tmp_path / "local7").iterdir():
        if not path.name.startswith("."):
            bucket.put(f"copied/{path.name}", path.read_bytes())
    assert len(find_shards([bucket["copied"]])) == 4
    bucket.delete("copied/rows-00002.jsonl")
    missing = r"1 shard of 4 missing, such as rows-00002\.jsonl: copy them"
    for name in ("copied", "copied/"):
        with pytest.raises(MissingDataError, match=missing):
            find_shards([bucket[name]])
    assert len(find_shards([bucket["copied/*.jsonl"]])) == 3, "a pattern names what there is"


@pytest.mark.parametrize(
    ("way", "at"),
    [
        ("dropped", "rows-00001.jsonl"),
        ("", "rows-00002.jsonl"),
        ("dropped", MANIFEST),
        ("", MANIFEST),
    ],
)
def test_a_killed_set_is_refused_until_the_same_command_has_completed_it(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, way: str, at: str
) -> None:
    expected = local(tmp_path, 7)
    process: list[subprocess.Popen[bytes]] = []
    first = [Fault("", "PUT", at)] if at == MANIFEST else []
    kill = Fault(way, "PUT", at, call=lambda: os.kill(process[0].pid, signal.SIGKILL))
    proxy.faults = [*first, kill]
    words = ["shard", "rows.jsonl", "-o", bucket["in/"], "--rows", "7"]
    process.append(subprocess.Popen([sys.executable, "-m", "prism_cli", *words], env=os.environ))
    assert process[0].wait(60) == -signal.SIGKILL
    if (way, at) != ("", MANIFEST):
        with pytest.raises(MissingDataError, match="its shards are not all written; run the same"):
            find_shards([bucket["in"]])
    proxy.seen.clear()
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    assert content(bucket) == expected
    assert find_shards([bucket["in"]])
    assert not proxy.requests("PUT", "rows-00000.jsonl"), "was uploaded before the kill"


def test_another_machine_completes_a_killed_set(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = local(tmp_path, 7)
    proxy.faults = [Fault("403 AccessDenied", "PUT", "rows-00002.jsonl")]
    words = ["shard", "rows.jsonl", "-o", bucket["in/"], "--rows", "7"]
    assert prism(*words).returncode == 3
    assert len(content(bucket)) == 2
    monkeypatch.setenv("PRISM_STATE", str(tmp_path / "other machine"))
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    assert content(bucket) == expected
