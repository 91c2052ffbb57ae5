"""Every exit code of the README's table, through the installed `prism`, without tracebacks.

Where no command fails in the expected way without a server, `tests/stage_runner.py` is run: the
same entry point and engine with a fake backend.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.door import prism
from tests.factories import jsonl, make_pairs, write_jsonl

PRISM = [str(Path(sys.executable).with_name("prism"))]
RUNNER = [sys.executable, str(Path(__file__).parent.parent / "stage_runner.py")]
RELABEL = [*PRISM, "relabel", "in.jsonl", "--judge", "source"]


def run(
    command: list[str], stdin: bytes | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, **env},
        input=stdin.decode() if stdin is not None else None,
    )  # fmt: skip


def told(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Assert the code, a message on stderr, an empty stdout, and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


@pytest.fixture(autouse=True)
def rows(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "in.jsonl", make_pairs(30, source_label=1))


def test_0_finished_and_finished_before() -> None:
    told(run(RELABEL), 0, "30 rows in", "wrote in.relabel.jsonl")
    told(run(RELABEL), 0, "finished before")
    told(run([*RELABEL, "-q"]), 0)


def test_1_internal_error_without_a_traceback_unless_requested() -> None:
    bug = [*RUNNER, "score", "in.jsonl", "--bug"]
    told(run(bug), 1, "unexpected ZeroDivisionError: on purpose", "bug of prism", "--traceback")
    result = run(bug, PRISM_TRACEBACK="1")
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([*PRISM, "relable", "in.jsonl"], ["No such command 'relable'", "Did you mean 'relabel'?"]),
        ([*RELABEL, "--ovewrite"], ["No such option: --ovewrite", "--overwrite"]),
        ([*PRISM, "relabel"], ["Missing argument"]),
        ([*RELABEL, "--limit", "none"], ["Invalid value for '--limit'"]),
        ([*RELABEL, "--limit", "0"], ["Invalid value for '--limit'"]),
        ([*RELABEL, "--set", "sed=3"], ["command line: sed: unknown key; did you mean seed?"]),
        ([*RELABEL, "--field", "document"], ["--field document: expected NAME=NAME"]),
        ([*RELABEL, "-o", "in.jsonl"], ["is an input of this command"]),
        ([*RELABEL, "-o", "/dev/null"], ["not a regular file"]),
    ],
    ids=["command", "option", "argument", "type", "range", "key", "field", "input", "device"],
)  # fmt: skip
def test_2_usage_and_config(command: list[str], words: list[str]) -> None:
    told(run(command), 2, *words)


def test_2_changed_input_or_config_keeps_the_output(rows: Path, tmp_path: Path) -> None:
    assert run(RELABEL).returncode == 0
    output = tmp_path / "in.relabel.jsonl"
    before = output.read_bytes()
    told(run([*RELABEL, "--seed", "7"]), 2, "seed: was 0, is 7", "--overwrite")
    write_jsonl(rows, make_pairs(3, source_label=0))
    told(run([*RELABEL, "--json"]), 2, "in.jsonl: its bytes changed")
    assert output.read_bytes() == before
    told(run([*RELABEL, "--overwrite"]), 0, "3 rows in")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([*PRISM, "relabel", "absent.jsonl", "--judge", "source"], ["absent.jsonl: no such file"]),
        ([*PRISM, "relabel", ".", "--judge", "source"], ["a directory without shards"]),
        ([*PRISM, "relabel", "in.jsonl"], ["DEEPSEEK_API_KEY", "OPENROUTER_API_KEY"]),
        ([*RELABEL, "--recipe", "absent.toml"], ["absent.toml: no such recipe or file"]),
        ([*RELABEL, "-o", "in.jsonl/out.jsonl"], ["cannot be written"]),
    ],
    ids=["file", "directory", "keys", "recipe", "output"],
)
def test_3_missing_prerequisite(tmp_path: Path, command: list[str], words: list[str]) -> None:
    if "." in command:
        (tmp_path / "in.jsonl").unlink()
    told(run(command), 3, *words)


def test_3_read_only_folder(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    told(run([*RELABEL, "-o", "closed/out.jsonl"]), 3, "cannot be written")


def test_3_full_standard_output() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*RELABEL, "-o", "-"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 3
    assert "standard output: cannot be written: No space left on device" in done.stderr
    assert "name a file with -o" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_4_rejects_above_the_share_but_the_output_is_complete(rows: Path, tmp_path: Path) -> None:
    rows.write_bytes(jsonl(make_pairs(30, source_label=1)) + b"broken\n")
    why = "1 of 31 rows rejected (see in.relabel.jsonl.rejects.jsonl)"
    limit = "; more than --max-rejects 0.01: exit code 4"
    told(run(RELABEL), 4, "1 rejected", why + limit)
    assert len((tmp_path / "in.relabel.jsonl").read_bytes().splitlines()) == 30
    message = f"in.relabel.jsonl: finished before, with {why}"
    told(run(RELABEL), 4, message + limit)
    quiet = run([*RELABEL, "-q", "--json"])
    assert quiet.returncode == 4
    (line,) = quiet.stderr.splitlines()
    assert line.endswith(message + limit)
    summary = json.loads(quiet.stdout)
    assert (summary["rows_before"], summary["rejected_before"]) == (31, 1)
    fine = run([*RELABEL, "--max-rejects", "0.05"])
    told(fine, 0, message)
    assert "exit code 4" not in fine.stderr


def test_5_provider_failed_rows_pending(tmp_path: Path) -> None:
    down = [*RUNNER, "score", "in.jsonl", "--kind", "calls", "--down"]
    told(run(down), 5, "30 pending", "401, the key is refused", "not published")
    assert not (tmp_path / "in.score.jsonl").exists()
    some = [*RUNNER, "score", "in.jsonl", "--kind", "calls", "--fail", "kind 3"]
    told(run(some), 5, "4 pending", "fake/calls: 503")
    told(run([*some, "--accept-pending"]), 0, "in.score.jsonl.pending.jsonl")
    told(run(some[:-2]), 0, "4 asked")


def test_7_time_limit() -> None:
    slow = [*RUNNER, "score", "in.jsonl", "--seconds", "0.2", "--batch-rows", "3"]
    told(run([*slow, "--max-seconds", "0.3"]), 7, "--max-seconds 0.3 reached")
    told(run(slow), 0)


def test_75_another_run_holds_the_lock(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".in.relabel.jsonl.lock"):
        told(run(RELABEL), 75, "another run is working on this output")
    told(run(RELABEL), 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_130_and_143_stopped_by_a_signal(tmp_path: Path, number: int, code: int) -> None:
    log = tmp_path / "asked.log"
    command = [*RUNNER, "score", "in.jsonl", "--seconds", "0.3", "--log", str(log)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    give_up = time.monotonic() + 30
    while not log.exists():
        assert time.monotonic() < give_up
        time.sleep(0.02)
    process.send_signal(number)
    _, words = process.communicate(timeout=30)
    assert process.returncode == code
    assert "the same command goes on" in words
    assert "Traceback" not in words


def test_141_closed_pipe() -> None:
    rows = jsonl(make_pairs(3000, source_label=1))
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PRISM, "relabel", "-", "--judge", "source"],
        input=rows, stdout=write, stderr=subprocess.PIPE, timeout=60,
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 141
    first, last = done.stderr.splitlines()
    assert b"started: prism relabel" in first
    assert b"ended with exit code 141" in last


def test_standard_output_has_rows_only() -> None:
    rows = jsonl(make_pairs(3, source_label=1))
    done = run([*PRISM, "relabel", "-", "--judge", "source", "--json"], rows)
    assert done.returncode == 0
    assert [line[:16] for line in done.stdout.splitlines()] == [
        f'{{"query_id":"q{number}"' for number in range(3)
    ]
    assert '"stage":"relabel"' in done.stderr


def test_json_is_one_object_on_standard_output() -> None:
    import orjson

    done = run([*RELABEL, "--json", "-q"])
    assert done.stderr == ""
    assert orjson.loads(done.stdout)["counts"]["written"] == 30


def test_help_is_grouped_in_the_order_of_the_pipeline() -> None:
    done = run([*PRISM, "--help"])
    words = ["collect", "relabel", "train", "rerank", "eval", "recipes"]
    places = [done.stdout.index(word) for word in (f"│ {word} " for word in words)]
    assert done.returncode == 0
    assert places == sorted(places)
    assert "Example: prism rerank" in done.stdout


def test_every_listed_command_answers_help_with_an_example() -> None:
    from prism_cli.app import COMMANDS

    assert len(COMMANDS) > 1
    for word in COMMANDS:
        done = prism(word, "--help")
        assert done.returncode == 0, done.stderr
        assert f"Example: prism {word}" in done.stdout, word
