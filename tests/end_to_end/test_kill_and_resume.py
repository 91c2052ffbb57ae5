"""Resuming, with real processes: after kills, signals, a full disk, or concurrent runs, the same
command gives the same bytes and repeats at most the requests in flight."""

import gzip
import hashlib
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.factories import jsonl, make_pair, make_pairs, write_jsonl
from tests.fakes import noted

RUNNER = Path(__file__).parent.parent / "stage_runner.py"
ROWS = 300
IN_FLIGHT = {"batch": 8, "calls": 4}
CRASH_POINTS = [
    "after-claim", "before-commit", "before-commit:20", "after-commit", "after-commit:20",
    "before-publish", "between-side-and-main", "between-side-and-main:2",
    "after-publish-before-manifest",
]  # fmt: skip


class Folder:
    """Inputs, a log of what was asked, and the command that works on them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        rows = [make_pair(i, document="word " * (i * 7 % 31) + str(i)) for i in range(ROWS)]
        self.given = path / "in.jsonl"
        self.given.write_bytes(jsonl(rows[:200]) + b"broken\n" + jsonl(rows[200:]))
        self.out = path / "out.jsonl"
        self.log = path / "asked.log"

    def command(self, *more: str) -> list[str]:
        words = ["score", str(self.given), "-o", str(self.out), "--log", str(self.log)]
        return [sys.executable, str(RUNNER), *words, "--max-rejects", "0.5", *more]

    def run(
        self, *more: str, crash: str = "", before: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        env = {**os.environ, "PRISM_CRASH_AT": crash}
        return subprocess.run(
            self.command(*more), capture_output=True, env=env, preexec_fn=before, timeout=60
        )

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(*more), stderr=subprocess.PIPE)

    def made(self) -> dict[str, bytes]:
        """Return all files beside the input, without fields that differ between attempts."""
        files = {
            path.name: path.read_bytes()
            for path in self.path.iterdir()
            if path.name.startswith("out.jsonl") and "manifest" not in path.name
        }
        record = orjson.loads((self.path / "out.jsonl.manifest.json").read_bytes())
        assert record["finished"] is True
        keep = {name: record[name] for name in ("config", "counts", "figures")}
        return files | {"manifest": orjson.dumps(keep)}

    def asked(self) -> Counter[str]:
        return noted(self.log)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = Folder(tmp_path_factory.mktemp("undisturbed") / "f")
    folder.given.write_bytes(folder.given.read_bytes())
    done = folder.run("--kind", "batch")
    assert done.returncode == 0, done.stderr
    output = folder.made()
    assert set(output) == {"out.jsonl", "out.jsonl.rejects.jsonl", "manifest"}
    return output


def same(folder: Folder, undisturbed: dict[str, bytes]) -> bool:
    """Compare outputs; rejects name the input's path, which differs between folders."""
    output = folder.made()
    path = str(folder.given).encode()
    rejects = output.pop("out.jsonl.rejects.jsonl")
    expected = dict(undisturbed)
    before = orjson.loads(expected.pop("out.jsonl.rejects.jsonl"))
    return output == expected and orjson.loads(rejects) == before | {"file": path.decode()}


@pytest.mark.parametrize("kind", ["batch", "calls"])
@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_run_killed_at_a_named_point_resumes(
    tmp_path: Path, undisturbed: dict[str, bytes], kind: str, point: str
) -> None:
    folder = Folder(tmp_path / "f")
    pace = ["--kind", kind, "--seconds", "0.002"]
    if kind == "batch" and point.endswith(":20"):
        pytest.skip("a model's replies are committed every 5 s: one commit here")
    killed = folder.run(*pace, crash=point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = folder.run(*pace)
    assert resumed.returncode == 0, resumed.stderr
    assert same(folder, undisturbed)
    repeated = sum(folder.asked().values()) - ROWS
    lost = ROWS if kind == "batch" and point == "before-commit" else IN_FLIGHT[kind]
    assert 0 <= repeated <= lost
    if "commit" not in point:
        assert repeated == 0
    assert not list(folder.path.glob(".*.part"))


@pytest.mark.parametrize(("kind", "seed"), [("calls", 1), ("batch", 2)])
def test_a_run_killed_repeatedly_at_random_finishes(
    tmp_path: Path, undisturbed: dict[str, bytes], kind: str, seed: int
) -> None:
    folder = Folder(tmp_path / "f")
    dice = random.Random(seed)
    kills = 0
    for attempt in range(60):
        process = folder.start("--kind", kind, "--seconds", "0.01", "--concurrency", "4", "-q")
        # A quarter of the kills hits the start-up; the delay grows, so that the loop ends.
        patience = dice.uniform(0.05, 0.45) if dice.random() < 0.25 else 0.4 + 0.1 * attempt
        try:
            process.wait(patience * dice.uniform(0.9, 1.1))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        finally:
            process.communicate()
    assert process.returncode == 0
    assert kills >= 3
    assert same(folder, undisturbed)
    repeated = sum(folder.asked().values()) - ROWS
    if kind == "calls":
        assert 0 <= repeated <= kills * IN_FLIGHT["calls"]
    record = orjson.loads((folder.path / "out.jsonl.manifest.json").read_bytes())
    assert record["usage"]["asked"] == ROWS


@pytest.mark.parametrize("kind", ["batch", "calls"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_stopped_by_a_signal_repeats_no_request(
    tmp_path: Path, undisturbed: dict[str, bytes], kind: str, number: int, code: int
) -> None:
    folder = Folder(tmp_path / "f")
    process = folder.start("--kind", kind, "--seconds", "0.02")
    wait_for(lambda: sum(folder.asked().values()) >= 20)
    process.send_signal(number)
    _, words = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"the same command goes on" in words
    assert b"Traceback" not in words
    assert not folder.out.exists()
    assert 20 <= sum(folder.asked().values()) < ROWS
    assert folder.run("--kind", kind).returncode == 0
    assert set(folder.asked().values()) == {1}
    assert same(folder, undisturbed)


def test_a_second_run_on_one_output_stops_and_the_first_finishes(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = Folder(tmp_path / "f")
    first = folder.start("--kind", "calls", "--seconds", "0.02")
    wait_for(lambda: sum(folder.asked().values()) >= 10)
    second = folder.run("--kind", "calls", "--overwrite", "--fresh")
    assert second.returncode == 75
    assert b"another run is working on this output" in second.stderr
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert set(folder.asked().values()) == {1}
    assert same(folder, undisturbed)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_two_runs_without_locks_publish_one_complete_output(
    tmp_path: Path, undisturbed: dict[str, bytes], suffix: str
) -> None:
    folder = Folder(tmp_path / "f")
    folder.out = folder.path / f"out.jsonl{suffix}"
    go_on = tmp_path / "go-on"
    first = folder.start("--no-lock", "--hold", str(go_on))
    wait_for(lambda: sum(folder.asked().values()) >= 10)
    second = folder.run("--no-lock")
    go_on.touch()
    _, words = first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (75, 0), (words, second.stderr)
    assert b"another run has begun on this output" in words
    assert not list(folder.path.glob(".*.part"))
    content = folder.out.read_bytes()
    manifest = orjson.loads(Path(f"{folder.out}.manifest.json").read_bytes())
    record = manifest["outputs"][folder.out.name]
    assert record["bytes"] == len(content)
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    plain = gzip.decompress(content) if suffix else content
    assert plain == undisturbed["out.jsonl"]
    rerun = folder.run()
    assert rerun.returncode == 0
    assert b"finished before" in rerun.stderr
    assert folder.out.read_bytes() == content


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_private_files_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    folder = Folder(tmp_path / "f")
    killed = folder.run("--kind", "calls", crash="after-commit:20", before=lambda: os.umask(umask))
    assert killed.returncode == -signal.SIGKILL
    for name in (".prism/ledger.sqlite", ".prism/ledger.claims", ".out.jsonl.lock",
                 ".out.jsonl.progress.json"):  # fmt: skip
        path = folder.path / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, name


def test_many_runs_share_one_new_ledger(tmp_path: Path) -> None:
    state = tmp_path / "state"
    folders = [Folder(tmp_path / f"f{number}") for number in range(4)]
    for folder in folders:
        write_jsonl(folder.given, make_pairs(40))
    env = {**os.environ, "PRISM_STATE": str(state)}
    running = [
        subprocess.Popen(folder.command("--kind", "calls"), env=env, stderr=subprocess.PIPE)
        for folder in folders
    ]
    messages = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, messages
    assert len({folder.out.read_bytes() for folder in folders}) == 1


def limit_file_size(limit: int) -> Callable[[], None]:
    """Limit the size of a file, as a full disk does."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return limited


@pytest.mark.parametrize("limit", [0, 1000, 20_000, 60_000])
def test_a_full_disk_loses_nothing(
    tmp_path: Path, undisturbed: dict[str, bytes], limit: int
) -> None:
    folder = Folder(tmp_path / "f")
    pace = ["--kind", "calls", "--concurrency", "4"]
    full = folder.run(*pace, before=limit_file_size(limit))
    assert full.returncode == 3, full.stderr
    assert b"cannot be" in full.stderr
    assert b"Traceback" not in full.stderr
    assert not folder.out.exists()
    assert not list(folder.path.glob(".*.part"))
    assert folder.run(*pace).returncode == 0
    assert sum(folder.asked().values()) - ROWS <= IN_FLIGHT["calls"]
    assert same(folder, undisturbed)


def test_a_full_disk_keeps_the_previous_output(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "f")
    write_jsonl(folder.given, make_pairs(10))
    assert folder.run().returncode == 0
    before = folder.out.read_bytes()
    write_jsonl(folder.given, make_pairs(2000))
    assert folder.run(before=limit_file_size(200_000)).returncode == 3
    assert folder.out.read_bytes() == before
    assert folder.run().returncode == 0
    assert len(folder.out.read_bytes().splitlines()) == 2000


def test_a_time_limit_exits_with_7_and_the_run_resumes(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = Folder(tmp_path / "f")
    limited = folder.run("--kind", "calls", "--seconds", "0.05", "--max-seconds", "0.5")
    assert limited.returncode == 7
    assert b"--max-seconds 0.5 reached" in limited.stderr
    assert folder.run("--kind", "calls").returncode == 0
    assert set(folder.asked().values()) == {1}
    assert same(folder, undisturbed)


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.02)
