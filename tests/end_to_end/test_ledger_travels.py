"""`prism ledger` as typed: replies carried to another machine are never asked for again."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from prism_cli.shards.ledger_file import LedgerFile
from tests.door import prism
from tests.factories import make_pairs, read_jsonl, write_jsonl
from tests.fakes import noted

RUNNER = Path(__file__).parent.parent / "stage_runner.py"
ROOT = RUNNER.parent.parent


def score(folder: Path, *words: str) -> dict[str, Any]:
    """One run of the fake stage in `folder`; its manifest."""
    command = [sys.executable, str(RUNNER), "score", "in.jsonl", "-o", "out.jsonl", "-q"]
    command += ["--kind", "calls", "--log", "asked.log", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = orjson.loads((folder / "out.jsonl.manifest.json").read_bytes())
    return found


def machine(path: Path, rows: int = 50) -> Path:
    path.mkdir()
    write_jsonl(path / "in.jsonl", make_pairs(rows))
    return path


def contents(ledger: Path) -> list[bytes]:
    return [entry.line for entry in LedgerFile(ledger).entries()]


@pytest.mark.parametrize("name", ["replies.jsonl", "replies.jsonl.zst", "replies.jsonl.gz"])
def test_what_one_machine_paid_another_is_not_asked(tmp_path: Path, name: str) -> None:
    one, two = machine(tmp_path / "one"), machine(tmp_path / "two")
    assert score(one)["usage"]["asked"] == 50
    done = prism("ledger", "export", "-o", name, one)
    assert done.returncode == 0, done.stderr
    assert f"wrote 50 replies to {name}" in done.stderr
    merged = prism("ledger", "merge", name, "--into", two, "--json")
    assert merged.returncode == 0, merged.stderr
    told = json.loads(merged.stdout)
    assert (told["new"], told["known"], told["conflicts"], told["rejected"]) == (50, 0, 0, 0)
    usage = score(two)["usage"]
    assert (usage["asked"], usage["usd"], usage["from_ledger"]) == (0, 0.0, 50)
    assert not noted(two / "asked.log")
    assert (one / "out.jsonl").read_bytes() == (two / "out.jsonl").read_bytes()
    ledgers = [folder / ".prism" / "ledger.sqlite" for folder in (one, two)]
    assert contents(ledgers[0]) == contents(ledgers[1])
    assert ledgers[1].stat().st_mode & 0o777 == 0o600


def test_a_ledger_file_is_merged_as_it_is_and_twice_is_once(tmp_path: Path) -> None:
    one, two = machine(tmp_path / "one"), machine(tmp_path / "two", rows=20)
    score(one)
    score(two)
    ledger = one / ".prism" / "ledger.sqlite"
    for new in (30, 0):
        done = prism("ledger", "merge", ledger, "--into", two / "out.jsonl", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["new"], told["known"]) == (new, 50 - new)
    # What was merged is not what this machine spent.
    (spent,) = LedgerFile(two / ".prism" / "ledger.sqlite").spent()
    assert (spent["asked"], spent["usd"]) == (20, pytest.approx(0.02))


def test_bad_lines_are_set_aside_and_conflicts_keep_what_is_here(tmp_path: Path) -> None:
    one, two = machine(tmp_path / "one", rows=3), machine(tmp_path / "two", rows=3)
    score(one)
    score(two)
    prism("ledger", "export", "-o", "e.jsonl", one)
    lines = read_jsonl(Path("e.jsonl"))
    lines[0]["value"] = {"score": 2.0}
    lines[1]["key"] = "short"
    Path("e.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines) + b"{torn")
    before = contents(two / ".prism" / "ledger.sqlite")
    done = prism("ledger", "merge", "e.jsonl", "--into", two)
    assert done.returncode == 4
    assert "0 replies new, 1 known, 1 in conflict" in done.stderr
    assert "2 rejected" in done.stderr
    bad = read_jsonl(two / ".prism" / "ledger.sqlite.rejects.jsonl")
    assert [(row["file"], row["line"], row["field"]) for row in bad] == [
        ("e.jsonl", 2, "key"),
        ("e.jsonl", 4, ""),
    ]
    assert "expected 64 hex digits, found 'short'" in bad[0]["reason"]
    assert contents(two / ".prism" / "ledger.sqlite") == before
    assert prism("ledger", "merge", "e.jsonl", "--into", two, "--max-rejects", "1").returncode == 0


def lines_of(count: int) -> bytes:
    return b"".join(
        orjson.dumps(
            {
                "key": f"{n:064x}", "value": {"score": n}, "refusal": None, "stage": "s",
                "backend": "b", "input_tokens": 1, "output_tokens": 1, "usd": 0.0, "created_ms": n,
                "sequence": n + 1,
            }
        ) + b"\n"
        for n in range(count)
    )  # fmt: skip


@pytest.mark.parametrize("point", ["before-commit:2", "after-commit:2", "after-commit"])
def test_a_killed_merge_ends_the_same_the_second_time(tmp_path: Path, point: str) -> None:
    Path("e.jsonl").write_bytes(lines_of(5000))
    command = [sys.executable, "-m", "prism_cli", "ledger", "merge", "e.jsonl"]
    env = {**os.environ, "PRISM_CRASH_AT": point, "PYTHONPATH": str(ROOT)}
    died = subprocess.run(command, env=env, capture_output=True, timeout=60)
    assert died.returncode == -signal.SIGKILL
    kept = len(contents(Path(".prism/ledger.sqlite")))
    assert kept == (4000 if point == "after-commit:2" else 2000)
    done = prism("ledger", "merge", "e.jsonl", "--json")
    told = json.loads(done.stdout)
    assert (told["new"], told["known"]) == (5000 - kept, kept)
    kept_lines = [orjson.loads(line) for line in contents(Path(".prism/ledger.sqlite"))]
    given = [orjson.loads(line) for line in lines_of(5000).splitlines()]
    # The order of the commits is this ledger's own.
    assert all(line.pop("sequence") for line in [*kept_lines, *given])
    assert kept_lines == given


def test_export_and_merge_while_a_run_uses_the_ledger(tmp_path: Path) -> None:
    one = machine(tmp_path / "one", rows=400)
    command = [sys.executable, str(RUNNER), "score", "in.jsonl", "-o", "out.jsonl", "-q"]
    command += ["--kind", "calls", "--log", "asked.log", "--seconds", "0.005"]
    Path("e.jsonl").write_bytes(lines_of(5000))
    run = subprocess.Popen(command, cwd=one)
    while not (one / "asked.log").exists():
        assert run.poll() is None
    for _ in range(3):
        assert prism("ledger", "merge", "e.jsonl", "--into", one).returncode == 0
        done = prism("ledger", "export", "-o", "x.jsonl", one, "--overwrite")
        assert done.returncode == 0, done.stderr
    assert run.wait(timeout=60) == 0
    assert set(noted(one / "asked.log").values()) == {1}
    assert len(contents(one / ".prism" / "ledger.sqlite")) == 5400


def test_export_takes_what_was_asked_for_and_replaces_nothing(tmp_path: Path) -> None:
    Path("e.jsonl").write_bytes(lines_of(4))
    assert prism("ledger", "merge", "e.jsonl").returncode == 0
    assert prism("ledger", "export", "-o", "all.jsonl.zst").returncode == 0
    packed = Path("all.jsonl.zst").read_bytes()
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == lines_of(4)
    assert prism("ledger", "export", "-o", "-").stdout.encode() == lines_of(4)
    assert prism("ledger", "export", "-o", "-", "--stage", "other").stdout == ""
    assert prism("ledger", "export", "-o", "-", "--model", "b").stdout.encode() == lines_of(4)
    assert prism("ledger", "export", "-o", "-", "--since", "2020-01-01").stdout == ""
    assert prism("ledger", "export", "-o", "-", "--since", "1970-01-01").stdout != ""
    refused = prism("ledger", "export", "-o", "all.jsonl.zst")
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert Path("all.jsonl.zst").read_bytes() == packed
    wrong = prism("ledger", "export", "-o", "x.jsonl", "--since", "yesterday")
    assert wrong.returncode == 2
    assert "expected a date" in wrong.stderr
    assert not Path("x.jsonl").exists()


def test_stats_by_model_and_by_output(tmp_path: Path) -> None:
    one = machine(tmp_path / "one", rows=5)
    score(one)
    told = json.loads(prism("ledger", "stats", one / "out.jsonl", "--json").stdout)
    assert told["path"] == str(one / ".prism" / "ledger.sqlite")
    assert told["bytes"] == Path(told["path"]).stat().st_size
    (model,) = told["models"]
    assert (model["stage"], model["model"], model["replies"]) == ("score", "fake/calls", 5)
    assert model["usd"] == pytest.approx(0.005)
    assert told["outputs"][0]["asked"] == 5
    plain = prism("ledger", "stats", one).stdout
    assert "fake/calls        5         0" in plain
    assert not any(line.endswith(" ") for line in plain.splitlines())
    # By the ledger file, and in the project's folder, it is the same.
    assert (
        prism("ledger", "stats", told["path"], "--json").stdout
        == json.dumps(told, separators=(",", ":")) + "\n"
    )
    shutil.move(one / ".prism", ".prism")
    assert prism("ledger", "stats").stdout.splitlines()[1:] == plain.splitlines()[1:]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["stats"], "no ledger here"),
        (["stats", "nowhere"], "nowhere: no ledger here"),
        (["export", "-o", "x.jsonl"], "no ledger here"),
        (["merge", "absent.jsonl"], "absent.jsonl: no such file"),
    ],
)
def test_what_is_not_there_is_named(words: list[str], told: str) -> None:
    done = prism("ledger", *words)
    assert done.returncode == 3
    assert told in done.stderr
    assert not Path("x.jsonl").exists()
