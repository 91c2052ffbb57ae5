"""`prism ledger` from the command line: moved replies are not requested again."""

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
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.fakes import noted

RUNNER = Path(__file__).parent.parent / "stage_runner.py"
ROOT = RUNNER.parent.parent


def score(folder: Path, *words: str) -> dict[str, Any]:
    """Run the fake stage in `folder`; return its manifest."""
    command = [sys.executable, str(RUNNER), "score", "in.jsonl", "-o", "out.jsonl", "-q"]
    command += ["--kind", "calls", "--log", "asked.log", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = orjson.loads((folder / "out.jsonl.manifest.json").read_bytes())
    return record


def machine(path: Path, rows: int = 50) -> Path:
    path.mkdir()
    write_jsonl(path / "in.jsonl", make_pairs(rows))
    return path


def contents(ledger: Path) -> list[bytes]:
    return [entry.line for entry in LedgerFile(ledger).entries()]


@pytest.mark.parametrize("name", ["replies.jsonl", "replies.jsonl.zst", "replies.jsonl.gz"])
def test_replies_paid_on_one_machine_are_not_requested_on_another(
    tmp_path: Path, name: str
) -> None:
    first, two = machine(tmp_path / "one"), machine(tmp_path / "two")
    assert score(first)["usage"]["asked"] == 50
    done = prism("ledger", "export", "-o", name, first)
    assert done.returncode == 0, done.stderr
    assert f"wrote 50 replies to {name}" in done.stderr
    merged = prism("ledger", "merge", name, "--into", two, "--json")
    assert merged.returncode == 0, merged.stderr
    summary = json.loads(merged.stdout)
    assert (summary["new"], summary["known"], summary["conflicts"], summary["rejected"]) == (
        50,
        0,
        0,
        0,
    )
    usage = score(two)["usage"]
    assert (usage["asked"], usage["usd"], usage["from_ledger"]) == (0, 0.0, 50)
    assert not noted(two / "asked.log")
    assert (first / "out.jsonl").read_bytes() == (two / "out.jsonl").read_bytes()
    ledgers = [folder / ".prism" / "ledger.sqlite" for folder in (first, two)]
    assert contents(ledgers[0]) == contents(ledgers[1])
    assert ledgers[1].stat().st_mode & 0o777 == 0o600


def test_merging_a_ledger_file_is_idempotent(tmp_path: Path) -> None:
    first, two = machine(tmp_path / "one"), machine(tmp_path / "two", rows=20)
    score(first)
    score(two)
    ledger = first / ".prism" / "ledger.sqlite"
    for new in (30, 0):
        done = prism("ledger", "merge", ledger, "--into", two / "out.jsonl", "--json")
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert (summary["new"], summary["known"]) == (new, 50 - new)
    # Merged replies do not count as spent on this machine.
    (spent,) = LedgerFile(two / ".prism" / "ledger.sqlite").spent()
    assert (spent["asked"], spent["usd"]) == (20, pytest.approx(0.02))


def test_bad_lines_are_rejected_and_conflicts_keep_the_local_reply(tmp_path: Path) -> None:
    first, two = machine(tmp_path / "one", rows=3), machine(tmp_path / "two", rows=3)
    score(first)
    score(two)
    prism("ledger", "export", "-o", "e.jsonl", first)
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
def test_a_killed_merge_finishes_at_the_second_attempt(tmp_path: Path, point: str) -> None:
    Path("e.jsonl").write_bytes(lines_of(5000))
    command = [sys.executable, "-m", "prism_cli", "ledger", "merge", "e.jsonl"]
    env = {**os.environ, "PRISM_CRASH_AT": point, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(command, env=env, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    rows_kept = len(contents(Path(".prism/ledger.sqlite")))
    assert rows_kept == (4000 if point == "after-commit:2" else 2000)
    done = prism("ledger", "merge", "e.jsonl", "--json")
    summary = json.loads(done.stdout)
    assert (summary["new"], summary["known"]) == (5000 - rows_kept, rows_kept)
    kept_lines = [orjson.loads(line) for line in contents(Path(".prism/ledger.sqlite"))]
    rows = [orjson.loads(line) for line in lines_of(5000).splitlines()]
    # The order of commits may differ.
    assert all(line.pop("sequence") for line in [*kept_lines, *rows])
    assert kept_lines == rows


def test_export_and_merge_while_a_run_uses_the_ledger(tmp_path: Path) -> None:
    folder = machine(tmp_path / "one", rows=400)
    command = [sys.executable, str(RUNNER), "score", "in.jsonl", "-o", "out.jsonl", "-q"]
    command += ["--kind", "calls", "--log", "asked.log", "--seconds", "0.005"]
    Path("e.jsonl").write_bytes(lines_of(5000))
    run = subprocess.Popen(command, cwd=folder)
    while not (folder / "asked.log").exists():
        assert run.poll() is None
    for _ in range(3):
        assert prism("ledger", "merge", "e.jsonl", "--into", folder).returncode == 0
        done = prism("ledger", "export", "-o", "x.jsonl", folder, "--overwrite")
        assert done.returncode == 0, done.stderr
    assert run.wait(timeout=60) == 0
    assert set(noted(folder / "asked.log").values()) == {1}
    assert len(contents(folder / ".prism" / "ledger.sqlite")) == 5400


def test_export_writes_the_selection_and_replaces_no_file(tmp_path: Path) -> None:
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
    folder = machine(tmp_path / "one", rows=5)
    score(folder)
    summary = json.loads(prism("ledger", "stats", folder / "out.jsonl", "--json").stdout)
    assert summary["path"] == str(folder / ".prism" / "ledger.sqlite")
    assert summary["bytes"] == Path(summary["path"]).stat().st_size
    (model,) = summary["models"]
    assert (model["stage"], model["model"], model["replies"]) == ("score", "fake/calls", 5)
    assert model["usd"] == pytest.approx(0.005)
    assert summary["outputs"][0]["asked"] == 5
    plain = prism("ledger", "stats", folder).stdout
    assert "fake/calls        5         0" in plain
    assert not any(line.endswith(" ") for line in plain.splitlines())
    # The ledger file and the project's folder give the same result.
    assert (
        prism("ledger", "stats", summary["path"], "--json").stdout
        == json.dumps(summary, separators=(",", ":")) + "\n"
    )
    shutil.move(folder / ".prism", ".prism")
    assert prism("ledger", "stats").stdout.splitlines()[1:] == plain.splitlines()[1:]


def test_without_a_ledger_of_providers_those_of_local_models_are_named() -> None:
    write_jsonl(Path("in.jsonl"), [make_pair()])
    done = prism("distill", "in.jsonl", "-o", "out.jsonl", "--teacher", "st:minilm", "-q")
    assert done.returncode == 0, done.stderr
    (local,) = Path(".prism/local").glob("*.sqlite")
    for names in ((), ("out.jsonl",)):
        done = prism("ledger", "export", "-o", "x.jsonl", *names)
        assert done.returncode == 3
        assert f"name its file: {local.resolve() if not names else local}" in done.stderr
    assert prism("ledger", "export", "-o", "-", local).stdout.count('"st:minilm"') == 1
    assert prism("ledger", "stats", local).returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stats"], "no ledger here"),
        (["stats", "nowhere"], "nowhere: no ledger here"),
        (["export", "-o", "x.jsonl"], "no ledger here"),
        (["merge", "absent.jsonl"], "absent.jsonl: no such file"),
    ],
)
def test_missing_names_are_reported(words: list[str], message: str) -> None:
    done = prism("ledger", *words)
    assert done.returncode == 3
    assert message in done.stderr
    assert not Path("x.jsonl").exists()
