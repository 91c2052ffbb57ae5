"""Output in limited encodings, and log lines."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import BinaryIO, TextIO, cast
from unittest.mock import patch

import pytest

from prism_cli import terminal
from prism_cli.app import COMMANDS, SHORT, main
from tests.door import prism
from tests.factories import make_pairs, read_jsonl, write_jsonl

ROOT = Path(__file__).parent.parent
ENCODINGS = ["ascii", "latin-1", "cp1252"]
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d prism ([a-z -]+): (.+)")
NAME = "größe 長城 😀"


def typed(*words: str | Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "prism_cli", *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True, timeout=120)


@pytest.fixture
def rows() -> Path:
    pairs = [
        row | {"query": f"{NAME} {number % 4}", "source": NAME, "teacher_score": number / 20}
        for number, row in enumerate(make_pairs(20, query_id=None))
    ]
    return write_jsonl(Path(f"{NAME}.jsonl"), pairs)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_help_of_every_command_is_printed_in_any_encoding(encoding: str) -> None:
    script = (
        "import sys\nfrom prism_cli import app\n"
        "for word in sys.argv[1:]:\n"
        "    sys.argv = ['prism', *word.split(), '--help']\n"
        "    try:\n        app.main()\n"
        "    except SystemExit as left:\n        assert left.code == 0, word\n"
    )
    words = [*COMMANDS, "eval quality", "eval labels", "collect synthesize", "ledger repair", ""]
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-c", script, *words], env=env, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"Usage: ") == len(words)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_characters_outside_the_encoding_are_escaped(rows: Path, encoding: str) -> None:
    for words in (
        ("sample", rows, "-o", "s.jsonl"),
        ("convert", rows, "-o", "c.jsonl"),
        ("split", rows, "-o", f"{NAME}-split"),
        ("status", f"{NAME}-split"),
        ("status", f"{NAME}-absent"),
        ("recipes", "ls"),
    ):
        done = typed(*words, encoding=encoding)
        assert done.returncode in (0, 3), done.stderr
        assert b"Traceback" not in done.stderr
        (done.stdout + done.stderr).decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_and_objects_on_standard_output_are_always_utf_8(rows: Path, encoding: str) -> None:
    done = typed("convert", rows, "-o", "-", encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == read_jsonl(rows)
    result = typed("convert", rows, "-o", f"{NAME}.out.jsonl", "--json", encoding=encoding)
    assert json.loads(result.stdout.decode())["outputs"] == [f"{NAME}.out.jsonl"]
    recipe = typed("recipes", "show", "train/2b", encoding=encoding)
    assert recipe.stdout == (ROOT / "recipes/train/2b.toml").read_bytes()


def test_closed_streams_do_not_stop_a_command() -> None:
    command = [sys.executable, "-m", "prism_cli", "recipes", "--help"]
    shell = f"{shlex.join(command)} <&- 2>&-"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, "recipes" in done.stdout) == (0, True)


def test_a_file_name_that_is_not_utf8_is_refused() -> None:
    done = prism("convert", os.fsdecode(b"gr\xf6sse.jsonl"))
    assert done.returncode == 2
    assert "rename the file" in done.stderr


def test_every_log_line_has_date_and_command_between_start_and_end(rows: Path) -> None:
    done = prism("convert", rows, "-o", "out.jsonl")
    lines = [STAMP.fullmatch(line) for line in done.stderr.splitlines()]
    assert all(line and line[1] == "convert" for line in lines)
    messages = [line[2] for line in lines if line]
    assert messages[0].startswith(f"started: prism convert '{rows}' -o out.jsonl (version ")
    assert f"process {os.getpid()})" in messages[0]
    assert re.fullmatch(
        r"ended with exit code 0 after \d+\.\d s, 20 rows in, 20 rows out", messages[-1]
    )
    assert "20 rows in, 20 rows out, in" in messages[1]


def test_the_json_summary_on_standard_error_has_no_date(rows: Path) -> None:
    done = prism("convert", rows, "-o", "-", "--json")
    (line,) = (line for line in done.stderr.splitlines() if not STAMP.fullmatch(line))
    assert json.loads(line)["counts"]["rows"] == 20
    assert STAMP.fullmatch(done.stderr.splitlines()[-1])


def test_errors_are_between_start_and_end() -> None:
    for words, code in ((("convert", "absent.jsonl"), 3), (("convert", "--no-such"), 2)):
        done = prism(*words)
        assert done.returncode == code
        first, *errors, last = done.stderr.splitlines()
        assert "started: prism convert" in first
        assert errors
        assert all(" prism convert: error: " in line for line in errors)
        assert f"ended with exit code {code} after" in last


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - SHORT))
def test_an_early_end_is_between_start_and_end(command: str, dry: bool) -> None:
    bad = ["--size", "tinny"] if command == "train" else ["--no-such-option"]
    done = prism(command, *bad, *["--dry-run"] * dry)
    lines = [STAMP.fullmatch(line) for line in done.stderr.splitlines()]
    assert all(lines), done.stderr
    messages = [line[2] for line in lines if line]
    assert {line[1] for line in lines if line} == {command}
    assert messages[0].startswith("started: ")
    assert any(line.startswith("error: ") for line in messages)
    assert messages[-1].startswith(f"ended with exit code {done.returncode} ")
    assert command != "train" or "did you mean tiny?" in done.stderr


def test_quiet_prints_errors_only(rows: Path) -> None:
    assert prism("convert", rows, "-o", "out.jsonl", "-q").stderr == ""
    refused = prism("convert", "absent.jsonl", "-qv")
    (line,) = refused.stderr.splitlines()
    assert STAMP.fullmatch(line)
    assert "absent.jsonl" in line


def test_immediate_answers_have_no_dates(rows: Path) -> None:
    assert prism("status", "absent").stderr.startswith("prism: error: absent")
    assert prism("convert", "--help").stderr == ""


def test_no_key_is_in_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_API_KEY", "sk-planted-0815")
    words = ("--set", "a=https://me:pass-word@host/v1?key=abc&x=1", "sk-planted-0815", "token=xyz")
    first = prism("convert", "absent.jsonl", *words).stderr.splitlines()[0]
    for secret in ("sk-planted-0815", "pass-word", "abc", "xyz"):
        assert secret not in first
    assert "host/v1" in first
    assert "&x=1" in first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_reported_with_the_counts_of_the_run(number: signal.Signals) -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(400))
    runner = ROOT / "tests" / "stage_runner.py"
    words = ["score", "in.jsonl", "-o", "out.jsonl", "--kind", "batch", "--log", "asked.log"]
    command = [sys.executable, str(runner), *words, "--seconds", "0.05"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    give_up = time.monotonic() + 30
    while not Path("asked.log").exists():
        assert time.monotonic() < give_up
        time.sleep(0.02)
    process.send_signal(number)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    last = messages.splitlines()[-1]
    assert re.search(
        rf"prism score: ended with exit code {128 + number} after [\d.]+ s, 0 rows in, 0 rows out, "
        r"[1-9]\d* replies asked$",
        last,
    )


def test_paragraphs_of_a_help_text_are_wrapped_by_the_terminal() -> None:
    from prism_cli.app import _paragraphs

    assert _paragraphs("One.\n\n    Two\n    words.\n    More.\n") == "One.\n\nTwo words. More."


def test_the_last_line_uses_singular_and_omits_zero_costs() -> None:
    terminal._amounts.clear()
    terminal.count(rows=1, written=1, steps=1, asked=1, usd=0.0)
    assert terminal._amount_texts() == ["1 row in", "1 row out", "1 step", "1 reply asked"]
    terminal.count(asked=1, usd=0.5, lost_calls=1)
    assert terminal._amount_texts()[3:] == ["2 replies asked", "0.5000 USD", "1 lost call"]
    terminal._amounts.clear()


def ended(words: list[str], out: TextIO, err: TextIO) -> int:
    """Return the exit code of a command with these streams."""
    with (
        patch.object(sys, "argv", ["prism", *words]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        main()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize(
    "words", [["recipes", "ls"], ["schema", "train"], ["--help"], ["help", "rows"]]
)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk_behind_standard_output_is_named(words: list[str], buffered: bool) -> None:
    err = io.StringIO()
    with Path("/dev/full").open("wb", buffering=-1 if buffered else 0) as file:
        out = io.TextIOWrapper(cast(BinaryIO, file), "utf-8", write_through=not buffered)
        assert ended(words, out, err) == 3
        out.detach()
    assert "standard output: cannot be written: No space left on device" in err.getvalue()


def test_a_full_disk_behind_standard_error_does_not_stop_the_work(rows: Path) -> None:
    with Path("/dev/full").open("w", buffering=1) as err:
        assert ended(["convert", str(rows), "-o", "c.jsonl"], io.StringIO(), err) == 3
    assert read_jsonl(Path("c.jsonl")) == read_jsonl(rows)
    for words in (["recipes", "nothing"], ["sample", "absent.jsonl", "-o", "s.jsonl"]):
        with Path("/dev/full").open("w", buffering=1) as err:
            assert ended(words, io.StringIO(), err) in (2, 3)


@pytest.mark.parametrize("words", [["--help"], ["rerank", "--help"], ["help", "rows"]])
def test_a_closed_pipe_is_141_for_help_too(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    err = io.StringIO()
    with os.fdopen(write, "w") as out:
        assert ended(words, out, err) == 141
    assert err.getvalue() == ""


@pytest.mark.parametrize("quiet", [True, False])
def test_lines_of_libraries_are_logged_whatever_their_end(quiet: bool) -> None:
    err = io.StringIO()
    with redirect_stderr(err):
        log = terminal.Log("rerank", ["rerank"], quiet=quiet)
        log.begin()
        sys.stderr.write("10 %\r50 %\rdone\r\nlast words")
        log.end(0)
    lines = [STAMP.fullmatch(line) for line in err.getvalue().splitlines()]
    told = [match[2] for match in lines if match]
    assert [line for line in told if "exit code" not in line and "started" not in line] == [
        "done", "last words",
    ]  # fmt: skip
