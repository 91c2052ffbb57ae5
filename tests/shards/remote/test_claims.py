"""Runs of machines that share nothing but the store exclude each other, and learn of missing rights
before the work."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from prism_cli.commands.options import output_path
from prism_cli.engine import run_plan
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.spread import Join
from prism_cli.errors import LockedError, OtherCommandError, PrerequisiteError
from prism_cli.files.urls import StagedPath, staged_path
from prism_cli.rows.row import Row
from prism_cli.shards.remote import claims, client
from prism_cli.shards.remote.claims import Claim
from tests.door import prism
from tests.factories import jsonl, make_pair, make_pairs
from tests.fakes import EchoStage, noted
from tests.servers.s3 import Bucket, Fault, FaultyS3

ROOT = Path(__file__).parents[3]


def on_machine(bucket: Bucket, folder: Path) -> StagedPath:
    """Return the place of o.jsonl on a machine with that state directory."""
    path = staged_path(bucket["o.jsonl"], folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_missing_right_to_write_is_told_before_any_row_is_read(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket.put("in/1.jsonl", jsonl(make_pairs(3)))
    bucket.put("in/2.jsonl", jsonl(make_pairs(3)))
    proxy.faults = [Fault("403 AccessDenied", "PUT", times=9)]
    words = ["relabel", "--judge", "source", bucket["in/"], "-o", bucket["out/"]]
    done = prism(*words)
    assert done.returncode == PrerequisiteError.exit_code
    told = " ".join(done.stderr.split())
    assert f"{bucket['out/.prism-probe']}: the store refuses writing (AccessDenied)" in told
    assert "the right to write objects there (s3:PutObject)" in told
    assert not proxy.requests("GET", ".jsonl"), "no input was read"
    assert proxy.requests("PUT", "") == 1
    assert bucket.names() == ["in/1.jsonl", "in/2.jsonl"]


def test_the_right_to_delete_can_be_missing(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in.jsonl", jsonl(make_pairs(3)))
    proxy.faults = [Fault("403 AccessDenied", "DELETE", times=9)]
    for overwrite in (False, True):
        options = RunOptions(output=output_path(bucket["o.jsonl"]), quiet=True, overwrite=overwrite)
        assert run_rows(EchoStage(), [bucket["in.jsonl"]], options).outputs
    assert bucket.get("o.jsonl") == jsonl(make_pairs(3))
    assert bucket.get(".o.jsonl.claim") == claims._ENDED


def test_one_machine_holds_a_claim_until_it_ends_or_is_silent(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    here, there = (on_machine(bucket, tmp_path / name) for name in ("a", "b"))
    told = rf"process {os.getpid()} of .* works in [56]\d s"
    with Claim(here), pytest.raises(LockedError, match=told):
        Claim(there).__enter__()
    assert not bucket.names()
    with Claim(there) as silent:
        bucket.make_older(".o.jsonl.claim", claims.STALE_SECONDS + 2)
        with Claim(here) as taken:
            with pytest.raises(LockedError, match="another run has taken over this output"):
                silent.check(now=True)
            taken.check(now=True)
            silent.__exit__(None, None, None)
            taken.check(now=True)
    assert not bucket.names()


def test_of_two_commands_that_make_other_outputs_the_later_one_ends(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (on_machine(bucket, tmp_path / name) for name in ("a", "b"))
    with Claim(here, "convert"):
        with pytest.raises(OtherCommandError, match="another command or of other settings") as told:
            Claim(there, "rerank").__enter__()
        assert told.value.exit_code == 75
        monkeypatch.setattr(claims, "_STARTED_MS", claims._STARTED_MS - 1)
        for command in ("convert", "rerank"):
            with pytest.raises(LockedError):
                Claim(there, command).__enter__()


def test_a_claim_that_a_killed_run_of_this_machine_left_is_taken_at_once(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    killed = Claim(on_machine(bucket, tmp_path))
    killed.__enter__()
    killed._ended.set()
    with Claim(on_machine(bucket, tmp_path)) as claim:
        claim.check(now=True)
    assert not bucket.names()


@pytest.mark.parametrize("kind", ["lost reply", "503", "cut upload"])
def test_failures_of_the_store_lose_no_claim(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setitem(client.RETRIES, "max_retries", 0)
    proxy.faults = [Fault(kind, "PUT")]
    with Claim(on_machine(bucket, tmp_path)) as claim:
        proxy.faults = [Fault(kind, "PUT")]
        claim.check(now=True)
        assert not proxy.faults[0].times
        claim.check(now=True)
    assert not bucket.names()


def test_a_claim_is_renewed_while_the_run_works(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "EVERY_SECONDS", 0.02)
    monkeypatch.setitem(client.RETRIES, "max_retries", 0)
    with Claim(on_machine(bucket, tmp_path)) as claim:
        proxy.faults = [Fault("503", "PUT", times=2)]
        deadline = time.monotonic() + 20
        while proxy.requests("PUT", ".claim") < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        claim.check()
        assert orjson.loads(bucket.get(".o.jsonl.claim"))["renewed"] > 4


def test_a_run_that_lost_its_claim_publishes_nothing(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket.put("in.jsonl", jsonl(make_pairs(3)))
    with ExitStack() as stack:

        def take_over() -> None:
            bucket.make_older(".o.jsonl.claim", claims.STALE_SECONDS + 2)
            stack.enter_context(Claim(on_machine(bucket, tmp_path / "other")))

        proxy.faults = [Fault("", "GET", "in.jsonl", call=take_over)]
        options = RunOptions(output=output_path(bucket["o.jsonl"]), quiet=True)
        with pytest.raises(LockedError, match="has taken over this output"):
            run_rows(EchoStage(), [bucket["in.jsonl"]], options)
        assert bucket.names() == [".o.jsonl.claim", "in.jsonl"]
    done = run_rows(EchoStage(), [bucket["in.jsonl"]], options)
    assert done.finished_before == [bucket["o.jsonl"]], "published now"
    assert bucket.get("o.jsonl") == jsonl(make_pairs(3))


def test_a_run_that_lost_its_claim_works_no_further_rows(
    bucket: Bucket, proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "EVERY_SECONDS", 0.02)
    bucket.put("in.jsonl", jsonl(make_pairs(3000)))
    worked: list[object] = []

    class Losing(EchoStage):
        def work(self, row: Row) -> Row:
            worked.append(row)
            if len(worked) == 3:
                bucket.put(".o.jsonl.claim", b'{"token": "of another run"}')
                time.sleep(1)
            return row

    options = RunOptions(output=output_path(bucket["o.jsonl"]), quiet=True)
    with pytest.raises(LockedError, match="has taken over this output"):
        run_rows(Losing(), [bucket["in.jsonl"]], options)
    assert len(worked) < 3000
    assert bucket.names() == [".o.jsonl.claim", "in.jsonl"]


def test_a_shard_that_another_machine_holds_is_looked_at_again(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    """Also one that this machine had finished and not yet published."""
    for name in ("1", "2"):
        bucket.put(f"in/{name}.jsonl", jsonl(make_pairs(3)))
    options = RunOptions(output=output_path(bucket["out/"]), quiet=True, shared=True)
    proxy.faults = [Fault("403 AccessDenied", "PUT", "/1.jsonl", times=9)]
    with pytest.raises(PrerequisiteError):
        run_rows(EchoStage(), [bucket["in/"]], options)
    proxy.faults = []
    there = staged_path(bucket["out/1.jsonl"], tmp_path / "other")
    there.parent.mkdir(parents=True)
    claim = Claim(there)
    claim.__enter__()

    def end() -> None:
        claim.__exit__(None, None, None)

    proxy.faults = [Fault("", "PUT", "out/2.jsonl.manifest.json", call=end)]
    done = run_rows(EchoStage(), [bucket["in/"]], options, Join())
    assert done.exit_code == 0, done.refused
    assert bucket.get("out/1.jsonl") == bucket.get("out/2.jsonl") == jsonl(make_pairs(3))


def test_the_end_of_a_run_sees_what_another_part_has_finished_since_its_beginning(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_plan, "_LISTED_JOBS", 1)
    for name in ("1", "2"):
        bucket.put(f"in/{name}.jsonl", jsonl(make_pairs(3)))

    def run_part(number: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        class Meanwhile(EchoStage):
            def work(self, row: Row) -> Row:
                if row == make_pair(2):
                    meanwhile()
                return row

        options = RunOptions(output_path(bucket["out/"]), quiet=True, overwrite=True)
        run_rows(Meanwhile(), [bucket["in/"]], replace(options, part=(number, 2)))

    with pytest.raises(ZeroDivisionError):
        run_part(0, lambda: 1 / 0)
    assert list(tmp_path.rglob("again-*"))
    run_part(0, lambda: run_part(1))
    assert not list(tmp_path.rglob("again-*"))


def join(bucket: Bucket, machine: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a machine that works the shards of in/ with others."""
    words = [bucket["in/"], "-o", bucket["out/"], "--join", "--kind", "batch", "--log", str(log)]
    command = [sys.executable, str(ROOT / "tests/stage_runner.py"), "score", *words]
    more = ["--seconds", "0.3", "--batch-rows", "2"]
    machine.mkdir()
    environment = os.environ | {"PRISM_STATE": str(machine)}
    return subprocess.Popen([*command, *more], env=environment, stderr=subprocess.DEVNULL)


def test_joined_machines_without_a_common_folder_work_each_shard_once(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    texts = {f"{shard}.jsonl": [f"text {shard}-{n}" for n in range(4)] for shard in range(6)}
    for name, shard in texts.items():
        rows = [make_pair(n, document=text) for n, text in enumerate(shard)]
        bucket.put(f"in/{name}", jsonl(rows))
    log = tmp_path / "log"
    first, second = (join(bucket, tmp_path / name, log) for name in ("a", "b"))

    def claimed_by(process: subprocess.Popen[bytes]) -> str:
        for name in bucket.names():
            with suppress(AssertionError):  # removed after it was listed
                claim = orjson.loads(bucket.get(name)) if name.endswith(".claim") else {}
                if claim.get("pid") == process.pid:
                    return name
        return ""

    def finished() -> list[str]:
        return [name for name in bucket.names() if name.endswith("manifest.json")]

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        log.exists() and claimed_by(first) and claimed_by(second)
    ):
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    left = claimed_by(first)
    assert left, "it was killed at work"
    while time.monotonic() < deadline and len(finished()) < 5:
        time.sleep(0.05)
    time.sleep(1.5)
    assert len(finished()) == 5, "the claim of the killed machine holds"
    bucket.make_older(left, claims.STALE_SECONDS + 2)
    assert second.wait(90) == 0
    assert finished() == [f"out/{number}.jsonl.manifest.json" for number in range(6)]
    assert not [name for name in bucket.names() if name.endswith((".claim", ".prism-probe"))]
    times = noted(log)
    again = texts.pop(left.removeprefix("out/.").removesuffix(".claim"))
    assert all(1 <= times[text] <= 2 for text in again)
    assert [times[text] for shard in texts.values() for text in shard] == [1] * 20
