"""`prism status` from another process: during a run, after each kind of stop, and at its end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.door import prism
from tests.factories import jsonl, make_pair, make_pairs, write_jsonl
from tests.fakes import noted

RUNNER = Path(__file__).parent.parent / "stage_runner.py"
CONCURRENCY = 4


def command(*words: str) -> list[str]:
    arguments = ["score", "in.jsonl", "-o", "out.jsonl", "-q", "--log", "asked.log"]
    return [sys.executable, str(RUNNER), *arguments, "--max-rejects", "0.5", *words]


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command(*words), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def status(*paths: str) -> dict[str, Any]:
    done = prism("status", *(paths or ("out.jsonl",)), "--json")
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def one(*paths: str) -> dict[str, Any]:
    (entry,) = status(*paths)["outputs"]
    return dict(entry)


def until(state: str, answered: int = 0, seconds: float = 30.0) -> dict[str, Any]:
    """Return the first status with that state and at least `answered` rows answered."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if Path(".out.jsonl.lock").exists():
            entry = one()
            if entry["state"] == state and entry["through"] + entry["answered"] >= answered:
                return entry
        time.sleep(0.05)
    raise AssertionError(f"never {state} with {answered} rows")


def inputs(count: int) -> None:
    rows = jsonl(make_pairs(count)) + b'broken\n{"query": 1}\n{"query": 1}\n'
    Path("in.jsonl").write_bytes(rows)


def test_status_of_a_running_a_killed_and_a_finished_run() -> None:
    inputs(100)
    with running("--kind", "calls", "--seconds", "0.4") as process:
        entry = until("running", answered=10)
        assert entry["process"] == process.pid
        assert entry["stage"] == "score"
        assert entry["total"] == 103
        assert entry["counts"]["rejected"] == 3
        assert 10 <= entry["through"] + entry["answered"] < 103
        assert entry["usage"]["asked"] >= 7
        assert entry["usage"]["usd"] == pytest.approx(entry["usage"]["asked"] / 1000)
        output = prism("status", "out.jsonl").stdout
        assert f"out.jsonl: score running (process {process.pid})" in output
        assert " of 103 rows through" in output
    stopped = one()
    assert (stopped["state"], stopped["process"], stopped["attempts"]) == ("stopped", 0, 1)
    assert stopped["counts"]["rejected"] == 3
    assert stopped["usage"]["asked"] >= entry["usage"]["asked"]
    assert stopped["seconds"] > 0
    assert stopped["usage"]["lost_calls"] == CONCURRENCY
    lost = f"at most {CONCURRENCY} calls without a reply that may be billed"
    assert lost in " ".join(prism("status", "out.jsonl").stdout.split())
    assert subprocess.run(command("--kind", "calls"), timeout=60).returncode == 0
    ended = one()
    assert ended["usage"]["lost_calls"] == CONCURRENCY
    assert (ended["state"], ended["attempts"], ended["through"]) == ("finished", 2, 103)
    assert ended["counts"]["done"] == 100
    # It includes the costs of the killed attempt.
    assert ended["usage"]["asked"] == 100
    assert ended["reject_reasons"][0]["count"] == 2
    assert ended["reject_reasons"][0]["field"] == "query"
    output = prism("status", "out.jsonl").stdout
    assert "score finished, 100 done, 3 rejected, 0.1000 USD" in output
    assert "rejected: 2 rows: query: expected a string, found number 1" in output
    assert not list(Path(".").glob("*progress*")) + list(Path(".").glob(".*progress*"))


def test_rows_of_earlier_windows_and_the_time_left() -> None:
    """Run a window of equal rows, requested once, then one of different rows."""
    write_jsonl(Path("in.jsonl"), [make_pair(0)] * 2048 + make_pairs(400))
    with running("--kind", "calls", "--seconds", "0.2"):
        entry = until("running", answered=2060)
        assert 2060 <= entry["through"] < 2448
        assert entry["total"] == 2448
        assert entry["rows_per_second"] > 0
        assert entry["seconds_left"] is not None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_status_of_a_run_stopped_by_a_signal(number: int, code: int) -> None:
    inputs(300)
    with running("--kind", "calls", "--seconds", "0.2") as process:
        until("running", answered=5)
        process.send_signal(number)
        assert process.wait(timeout=30) == code
    entry = one()
    assert entry["state"] == "stopped"
    assert entry["usage"]["asked"] == sum(noted(Path("asked.log")).values())
    assert entry["total"] == 303


def test_status_shows_pending_rows_with_their_reasons() -> None:
    rows = [make_pair(n, document="bad" if n < 2 else f"Item {n}.") for n in range(6)]
    write_jsonl(Path("in.jsonl"), rows)
    assert subprocess.run(command("--kind", "calls", "--fail", "bad")).returncode == 5
    entry = one()
    assert (entry["state"], entry["counts"]["pending"]) == ("pending", 2)
    assert entry["pending_reasons"] == {"fake/calls: 503": 2}
    assert "pending: 2 rows: fake/calls: 503" in prism("status", "out.jsonl").stdout
    done = command("--kind", "calls", "--fail", "bad", "--accept-pending")
    assert subprocess.run(done).returncode == 0
    assert one()["pending_reasons"] == {"fake/calls: 503": 2}


def test_status_of_a_run_killed_right_after_its_start() -> None:
    inputs(5)
    env_command = ["env", "PRISM_CRASH_AT=after-claim", *command()]
    assert subprocess.run(env_command).returncode == -signal.SIGKILL
    entry = one()
    assert (entry["state"], entry["through"], entry["counts"]) == ("stopped", 0, {})
    Path("out.jsonl.manifest.json").unlink()
    assert one()["state"] == "never started"


def test_status_works_while_the_ledger_is_created() -> None:
    inputs(3)
    assert subprocess.run(["env", "PRISM_CRASH_AT=before-commit", *command()]).returncode < 0
    Path(".prism/ledger.sqlite").write_bytes(b"")
    assert one()["state"] == "stopped"


def test_status_changes_no_file() -> None:
    inputs(200)
    with running("--kind", "calls", "--seconds", "0.02") as process:
        until("running", answered=5)
        while process.poll() is None:
            prism("status", "out.jsonl")
        assert process.returncode == 0
    assert set(noted(Path("asked.log")).values()) == {1}


def test_status_of_a_folder_of_shards_with_its_total() -> None:
    Path("in").mkdir()
    for name in ("a", "b", "c"):
        write_jsonl(Path("in") / f"{name}.jsonl", make_pairs(4, document=name))
    words = [sys.executable, str(RUNNER), "score", "in", "-o", "out", "-q", "--kind", "calls"]
    assert subprocess.run(words).returncode == 0
    write_jsonl(Path("in/d.jsonl"), make_pairs(200))
    fourth = subprocess.Popen([*words, "--seconds", "0.05"], stderr=subprocess.DEVNULL)
    try:
        while (
            "running" not in status("out")["together"]["states"]
            or not Path("out/d.jsonl.manifest.json").exists()  # the lock comes before
        ):
            time.sleep(0.05)
        content = status("out")
        assert [item["state"] for item in content["outputs"]] == ["finished"] * 3 + ["running"]
        assert content["together"]["states"] == {"finished": 3, "running": 1}
        assert content["together"]["counts"]["done"] >= 12
    finally:
        fourth.kill()
        fourth.wait()
    lines = prism("status", "out").stdout.splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("together: 4 outputs (3 finished, 1 stopped), ")
    assert len(status("out/a.jsonl", "out/b.jsonl.manifest.json")["outputs"]) == 2


def test_a_changed_or_missing_input_of_a_finished_output_is_marked(tmp_path: Path) -> None:
    source = write_jsonl(Path("in.jsonl"), make_pairs(3))
    words = [sys.executable, str(RUNNER), "score", "in.jsonl", "-o", "out.jsonl", "-q"]
    assert subprocess.run(words).returncode == 0
    content = source.read_bytes()
    os.utime(source)
    assert one()["inputs_changed"] == []
    (tmp_path / "elsewhere").mkdir()
    with chdir("elsewhere"):
        assert one("../out.jsonl")["inputs_changed"] == []
    for edited in (content + b"{}\n", content.replace(b"q0", b"q9")):
        source.write_bytes(edited)
        assert one()["inputs_changed"] == ["input changed since: in.jsonl"]
    source.unlink()
    assert one()["state"] == "finished"
    assert "finished, 3 done, input gone: in.jsonl" in prism("status", "out.jsonl").stdout


def test_a_training_run_and_an_evaluation_are_recognized_by_their_records(tmp_path: Path) -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(3))
    assert subprocess.run(command("--kind", "echo")).returncode == 0
    papers = orjson.loads(Path("out.jsonl.manifest.json").read_bytes())
    run = Path("runs/2b")
    run.mkdir(parents=True)
    (run / "manifest.json").write_bytes(
        orjson.dumps(papers | {"stage": "train", "finished": False, "seconds": 12.5})
    )
    (run / "log.jsonl").write_text('{"step":10,"loss":0.5}\n{"step":20,"loss":0.25}\n{"st')
    for path in ("runs/2b", "runs/2b/manifest.json", "runs"):
        entry = one(path)
        assert (entry["path"], entry["stage"], entry["state"]) == ("runs/2b", "train", "stopped")
        assert entry["training"] == {"step": 20, "loss": 0.25}
    assert "step 20, loss 0.25" in prism("status", "runs/2b").stdout
    evaluation = Path("eval")
    evaluation.mkdir()
    (evaluation / "metrics.json.manifest.json").write_bytes(
        orjson.dumps(papers | {"stage": "eval", "counts": {}})
    )
    assert (one("eval")["stage"], one("eval")["state"]) == ("eval", "finished")
    export = Path("export")
    export.mkdir()
    inputs = [papers["inputs"][0] | {"path": "base/model.safetensors"}]  # no path of this machine
    (export / "manifest.json").write_bytes(
        orjson.dumps(papers | {"stage": "export", "inputs": inputs})
    )
    assert (one("export")["state"], one("export")["inputs_changed"]) == ("finished", [])


@pytest.mark.parametrize("path", ["absent", "in.jsonl", ".", "in.jsonl.manifest.json"])
def test_foreign_paths_are_reported(path: str) -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(1))
    Path("in.jsonl.manifest.json").write_text('{"schema": 7}')
    done = prism("status", path)
    assert done.returncode == 3
    named = str(Path.cwd()) if path == "." else path
    assert f"error: {named}: no output of a run" in done.stderr


def test_an_unwritable_status_record_does_not_fail_the_run() -> None:
    inputs(20)
    Path(".out.jsonl.progress.tmp").mkdir()
    assert subprocess.run(command("--kind", "calls"), timeout=60).returncode == 0
    assert one()["counts"]["done"] == 20
