"""The quickstart's folder and its pipeline.sh."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.app import COMMANDS
from prism_cli.bundled import SAMPLES
from prism_cli.errors import MissingPackageError, StepError
from prism_cli.quickstart import steps as module
from prism_cli.quickstart.steps import Step, prepare_folder, run_steps, shell_script
from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl


def test_each_step_is_a_command_of_prism() -> None:
    steps = tomllib.loads((SAMPLES / "pipeline.toml").read_text(encoding="utf-8"))["step"]
    words = [step["run"].split()[:2] for step in steps]
    assert [word[1] for word in words] == [
        "collect", "rewrite-queries", "distill", "sample", "relabel", "relabel", "eval", "distill",
        "distill", "eval", "split", "export", "train", "rerank", "eval", "eval",
    ]  # fmt: skip
    assert all(word[0] == "prism" and word[1] in COMMANDS for word in words)


def test_the_folder_gets_the_corpus_its_licence_and_the_script(tmp_path: Path) -> None:
    steps = prepare_folder(tmp_path / "demo")
    assert (tmp_path / "demo" / "corpus-train" / "corpus.jsonl").is_file()
    assert "CC BY 4.0" in (tmp_path / "demo" / "SOURCE.txt").read_text()
    script = (tmp_path / "demo" / "pipeline.sh").read_text()
    assert [line for line in script.splitlines() if line.startswith("prism ")] == [
        step.run for step in steps
    ]
    subprocess.run(["sh", "-n", tmp_path / "demo" / "pipeline.sh"], check=True)


def test_files_changed_by_the_user_are_kept(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    (tmp_path / "requests.jsonl").write_text("mine")
    prepare_folder(tmp_path)
    assert (tmp_path / "requests.jsonl").read_text() == "mine"


def test_a_missing_extra_is_reported_with_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "peft" else object())
    with pytest.raises(MissingPackageError, match=r"peft.*\[local\]"):
        prepare_folder(tmp_path)


def test_a_failed_step_stops_the_rest_and_passes_its_exit_code_on(tmp_path: Path) -> None:
    steps = [Step("fails", "prism recipes show nothing-of-this-name"), Step("never", "prism no")]
    with pytest.raises(StepError) as caught:
        run_steps(tmp_path, steps)
    assert caught.value.exit_code == 3
    assert "recipes show nothing-of-this-name" in str(caught.value)


def test_script_stops_at_the_first_failure() -> None:
    assert "set -eu" in shell_script([Step("why", "prism x")])


def test_an_existing_folder_is_accepted() -> None:
    done = prism("quickstart", ".", "--prepare")
    assert done.returncode == 0, done.stderr
    assert Path("pipeline.sh").is_file()


def test_each_step_reads_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    steps = prepare_folder(tmp_path)
    there = {path.name for path in tmp_path.iterdir()} | {"hf:prism-tiny"}
    for step in steps:
        words = step.run.split()
        read = words[3 if words[1:3] in (["eval", "quality"], ["eval", "labels"]) else 2]
        assert read.split("/")[0] in there, step.run
        there.add(words[words.index("-o") + 1].split("/")[0])


def test_requests_are_questions_of_the_test_set_with_its_passages(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    data = BeirSet(tmp_path / "corpus-test")
    passages = {passage.doc_id: (passage.title, passage.text) for passage in data.corpus()}
    queries = dict(data.queries())
    rows = read_jsonl(tmp_path / "requests.jsonl")
    assert len(rows) == 5
    for row in rows:
        assert queries[row["query_id"]] == row["query"]
        for document in row["documents"]:
            assert passages[document["doc_id"]] == (document["title"], document["text"])


COUNTS = """#!{python}
import signal, time
count = 0
def add(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, add)
print("ready", flush=True)
until = time.monotonic() + 10
while time.monotonic() < until and not count:
    time.sleep(0.02)
time.sleep(0.3)
print("signals", count, flush=True)
"""


@pytest.mark.parametrize("typed", [True, False], ids=["Ctrl-C", "kill"])
def test_a_step_gets_each_signal_once(typed: bool, tmp_path: Path) -> None:
    step = tmp_path / "step"
    step.write_text(COUNTS.format(python=sys.executable))
    step.chmod(0o755)
    child, terminal = pty.fork()
    if not child:
        if not typed:  # as a job in the background
            module._is_in_foreground = lambda: False
        sys.executable = str(step)
        os._exit(module._run("prism doctor", tmp_path))
    shown = b""
    while b"ready" not in shown:
        shown += os.read(terminal, 1000)
    time.sleep(0.3)  # the handlers are set just after the step's start
    if typed:
        os.write(terminal, b"\x03")
    else:
        os.kill(child, signal.SIGINT)
    while not (said := re.search(rb"signals (\d+)\r\n", shown)):
        shown += os.read(terminal, 1000)
    os.waitpid(child, 0)
    assert int(said[1]) == 1


def test_settings_of_other_projects_do_not_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prism.toml").write_text('[relabel]\nseed = "above"\n', encoding="utf-8")
    monkeypatch.setenv("PRISM_SEED", "environment")
    folder = tmp_path / "demo"
    folder.mkdir()
    prepare_folder(folder)
    write_jsonl(folder / "rows.jsonl", [make_pair(1, source_label="1")])
    run_steps(folder, [Step("", "prism relabel rows.jsonl -o out.jsonl --judge source")])
    assert len(read_jsonl(folder / "out.jsonl")) == 1
