"""Outputs that are uploaded in parts, which takes no condition: one writer, and if there were two,
an output and a manifest that do not belong together are noticed."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import pytest

from prism_cli.commands.options import output_path
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import LockedError
from prism_cli.shards.remote import claims, outputs, store
from tests.factories import jsonl, make_pairs
from tests.fakes import EchoStage
from tests.servers.s3 import Bucket, Fault, FaultyS3

ROOT = Path(__file__).parents[3]
ROWS = jsonl(make_pairs(300))
CONFIG = {"scale": 1.0, "seed": 0}


def echo(bucket: Bucket) -> RunSummary:
    options = RunOptions(output=output_path(bucket["o.jsonl"]), quiet=True, config=CONFIG)
    return run_rows(EchoStage(), [bucket["in.jsonl"]], options)


@pytest.fixture(autouse=True)
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upload the rows in parts, the manifest as a whole."""
    for module in (store, outputs):
        monkeypatch.setattr(module, "WHOLE_BYTES", 10_000)


def other_machine(bucket: Bucket, folder: Path) -> None:
    """Run the same command to its end on a machine that takes the first one for dead."""
    bucket.make_older(".o.jsonl.claim", claims.STALE_SECONDS + 2)
    words = [bucket["in.jsonl"], "-o", bucket["o.jsonl"], "--kind", "echo", "-q"]
    command = [sys.executable, str(ROOT / "tests/stage_runner.py"), "score", *words]
    assert subprocess.run(command, env=os.environ | {"PRISM_STATE": str(folder)}).returncode == 0


def belong_together(bucket: Bucket) -> bool:
    manifest = orjson.loads(bucket.get("o.jsonl.manifest.json"))
    return bool(manifest["outputs"]["o.jsonl"]["version"] == bucket.etag("o.jsonl"))


def test_a_run_that_comes_to_itself_in_its_last_request_says_so_and_the_next_run_mends_it(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket.put("in.jsonl", ROWS)
    late = Fault("", "POST", "/o.jsonl", call=lambda: other_machine(bucket, tmp_path / "other"))
    proxy.faults = [Fault("", "POST", "/o.jsonl"), late]  # the request that ends the upload
    with pytest.raises(LockedError, match=r"taken over this output.*run the same command again"):
        echo(bucket)
    assert not belong_together(bucket)
    assert echo(bucket).outputs, "noticed and made again"
    assert belong_together(bucket)
    assert bucket.get("o.jsonl") == ROWS


def test_a_late_upload_before_the_manifest_is_noticed(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket.put("in.jsonl", ROWS)
    late = Fault("", "PUT", "o.jsonl.manifest.json", call=lambda: bucket.put("o.jsonl", b"late"))
    proxy.faults = [late]
    with pytest.raises(LockedError, match=r"o\.jsonl: another run has published there"):
        echo(bucket)
    assert echo(bucket).outputs, "noticed and made again"
    assert belong_together(bucket)


def test_an_upload_ends_when_the_claim_is_lost(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "EVERY_SECONDS", 0.02)
    monkeypatch.setattr(store, "BLOCK_BYTES", 2_000)
    bucket.put("in.jsonl", ROWS)

    lock = threading.Lock()

    def take_over() -> None:
        with lock:  # the other parts wait
            if b"another" in bucket.get(".o.jsonl.claim"):
                return
            bucket.put(".o.jsonl.claim", b'{"token": "of another run"}')
            seen, before = -1, time.monotonic()
            while time.monotonic() < before + 1:  # no renewal for a second: the loss is noticed
                if (now := proxy.requests("PUT", ".claim")) != seen:
                    seen, before = now, time.monotonic()
                time.sleep(0.02)

    proxy.faults = [Fault("", "PUT", "/o.jsonl", times=50, call=take_over)]
    with pytest.raises(LockedError, match="has taken over this output"):
        echo(bucket)
    assert bucket.names() == [".o.jsonl.claim", "in.jsonl"]
    assert proxy.requests("PUT", "/o.jsonl") < len(ROWS) / 2_000
