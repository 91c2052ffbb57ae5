"""Killed, stopped, full or damaged: the same command again ends in the same bytes."""

import shutil
import signal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from prism_cli.shards.manifest import read_manifest
from prism_cli.training.checkpoints import newest_complete
from tests.factories import read_jsonl
from tests.training.runs import Toy, die_at, die_within, fill_disk_at, make_toy, slow_down

TRAINER, RUN = "prism_cli.training.trainer", "prism_cli.training.run"
SELECTION = "prism_cli.training.selection"
KILLS = {
    "before a row is read": ("prism_cli.training.data", "training_labels", 1, False),
    "while rows are tokenized": ("prism_cli.training.data", "training_labels", 20, True),
    "with the rows tokenized": (RUN, "load_model", 1, False),
    "in the first step": (TRAINER, "step_loss", 1, True),
    "before the first checkpoint": (TRAINER, "commit_checkpoint", 1, False),
    "after the first checkpoint": (TRAINER, "commit_checkpoint", 1, True),
    "in the fourth step": (TRAINER, "step_loss", 9, True),  # the first of its two passes
    "before the third checkpoint": (TRAINER, "commit_checkpoint", 3, False),
    "before best is published": (RUN, "publish_model", 1, False),
    "while best is published": ("prism_cli.shards.whole_folder", "flush_folder", 1, True),
    "after best is published": (RUN, "publish_model", 1, True),
    "before last is published": (RUN, "publish_model", 2, False),
    "while last is published": ("prism_cli.shards.whole_folder", "flush_folder", 2, True),
    "before the curves are drawn": ("prism_cli.training.journal", "BytesIO", 1, False),
    "with all but the scratch gone": (RUN, "clear_scratch", 1, False),
}


def dev(toy: Toy) -> tuple[str, Path]:
    return "--dev", toy.folder / "dev.jsonl"


TIMED = {
    "manifest.json": {"seconds", "attempts", "attempt"},
    "log.jsonl": {"timed"},
    "speed.svg": {"all of it"},
}
"""All that may differ between equal runs: what the clock says, and which attempt it was."""


def log(toy: Toy, run: str = "run") -> list[dict[str, Any]]:
    """Lines of the log without what the clock told."""
    return [
        {name: one for name, one in line.items() if name not in TIMED["log.jsonl"]}
        for line in read_jsonl(toy.folder / run / "log.jsonl")
    ]


def files(toy: Toy, run: str = "run") -> dict[str, Any]:
    """Every file of a run by name, without TIMED: bytes, and the two papers as objects."""
    folder = toy.folder / run
    found: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "speed.svg"
    }
    papers = read_manifest(folder / "manifest.json")
    assert papers is not None
    papers["inputs"] = [one["sha256"] for one in papers["inputs"]]
    papers["dependencies"] = [one["sha256"] for one in papers["dependencies"]]
    del papers["figures"]["decontamination"]  # by path
    timed = TIMED["manifest.json"]
    found["manifest.json"] = {name: one for name, one in papers.items() if name not in timed}
    return found | {"log.jsonl": log(toy, run)}


def steps(toy: Toy) -> list[tuple[int, bool]]:
    """Step, and whether it is a measurement, of each line of the log."""
    return [(line["step"], "rows" in line) for line in read_jsonl(toy.run / "log.jsonl")]


def made(toy: Toy) -> dict[str, Any]:
    """What a user sees of a finished run, without what tells one attempt from another."""
    found = files(toy)
    papers = found["manifest.json"]
    assert papers["finished"]
    assert not {"checkpoints", "tokens", ".staging"} & {one.name for one in toy.run.iterdir()}
    return found | {"figures": papers["figures"], "log": found["log.jsonl"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Any]:
    toy = make_toy(tmp_path_factory.mktemp("undisturbed"), tiny_model)
    child = toy.child(*dev(toy))
    assert child.end() == 0, child.said
    return made(toy)


def test_equal_runs_are_equal_files(
    undisturbed: dict[str, Any], tmp_path: Path, tiny_model: Path
) -> None:
    toy = make_toy(tmp_path, tiny_model)
    child = toy.child(*dev(toy))
    assert child.end() == 0, child.said
    assert made(toy) == undisturbed
    names = {"curves.svg", "last/adapter_config.json", "best/dev.json", "recipe.toml"}
    assert names < undisturbed.keys()


@pytest.mark.parametrize("moment", KILLS)
def test_killed_at(toy: Toy, undisturbed: dict[str, Any], moment: str) -> None:
    died = toy.child(*dev(toy), arm=(die_at, *KILLS[moment]))
    assert died.end() == -signal.SIGKILL, died.said
    again = toy.child(*dev(toy))
    assert again.end() == 0, again.said
    assert made(toy) == undisturbed
    assert not list(toy.run.glob(".*.part"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("dtype", "kills"), [("float32", 8), ("bfloat16", 4)])
def test_killed_again_and_again(
    toy: Toy, undisturbed: dict[str, Any], tmp_path: Path, tiny_model: Path, dtype: str, kills: int
) -> None:
    words = (*dev(toy), "--set", f"dtype={dtype}")
    if dtype != "float32":
        (tmp_path / "whole").mkdir()
        whole = make_toy(tmp_path / "whole", tiny_model)
        child = whole.child(*dev(whole), *words[2:])
        assert child.end() == 0, child.said
        undisturbed = made(whole)
    moments, ends = Random(dtype), []
    for number in range(kills):
        # A whole run makes about 43,000 calls: 9,000 before the first step, 8,000 a checkpoint.
        calls = moments.randrange(20_000 if number else 40_000)
        ends.append(toy.child(*words, arm=(die_within, calls)).end())
    assert set(ends) <= {0, -signal.SIGKILL}
    assert ends.count(-signal.SIGKILL) > kills / 2
    last = toy.child(*words)
    assert last.end() == 0, last.said
    assert made(toy) == undisturbed


def test_a_signal_saves_and_the_same_command_goes_on(toy: Toy, undisturbed: dict[str, Any]) -> None:
    stopped = toy.child(*dev(toy), arm=(slow_down, TRAINER, "step_loss", 0.15))
    stopped.wait_for(toy.run / "checkpoints" / "checkpoint-2")
    stopped.send(signal.SIGTERM)
    assert stopped.end() == 143, stopped.said
    assert "the same command goes on" in stopped.said
    assert "Traceback" not in stopped.said
    saved = newest_complete(toy.run / "checkpoints")
    assert saved is not None
    step = int(saved.name.rpartition("-")[2])
    assert 2 < step < 8  # of its own, between those of save_steps
    again = toy.child(*dev(toy))
    assert again.end() == 0, again.said
    assert f"going on from step {step} of 8" in again.said
    assert made(toy) == undisturbed


@pytest.mark.parametrize(("number", "step"), [(1, 4), (2, 8)])
def test_a_measurement_that_a_signal_cut_short_is_made_up(
    toy: Toy, undisturbed: dict[str, Any], number: int, step: int
) -> None:
    measuring = (SELECTION, "dev_metrics", number, False)
    stopped = toy.child(*dev(toy), arm=(die_at, *measuring, signal.SIGTERM))
    assert stopped.end() == 143, stopped.said
    assert (step, True) not in steps(toy)
    again = toy.child(*dev(toy))
    assert again.end() == 0, again.said
    assert f"going on from step {step} of 8" in again.said
    assert made(toy) == undisturbed


def test_a_resumed_run_has_its_own_intervals_but_the_base_model_of_its_checkpoint(
    toy: Toy, tmp_path: Path
) -> None:
    toy = Toy(toy.folder, Path(shutil.copytree(toy.model, tmp_path / "model")))
    died = toy.child(arm=(die_at, TRAINER, "commit_checkpoint", 2, True))
    assert died.end() == -signal.SIGKILL, died.said
    weights = toy.model / "model.safetensors"
    former = load_file(weights)
    save_file({name: 1.5 * tensor for name, tensor in former.items()}, weights, {"format": "pt"})
    recipe = (toy.run / "recipe.toml").read_bytes()
    refused = toy.train("--set", "log_steps=1")
    assert refused.returncode == 2
    assert "its checkpoints were trained on a base model with sha256" in refused.stderr
    assert (toy.run / "recipe.toml").read_bytes() == recipe
    save_file(former, weights, {"format": "pt"})
    again = toy.train("--set", "save_steps=1", "--set", "log_steps=1")
    assert again.returncode == 0, again.stderr
    assert [line["step"] for line in log(toy)] == [1, 2, 4, 5, 6, 7, 8]


def test_a_damaged_checkpoint_is_passed_over(toy: Toy, undisturbed: dict[str, Any]) -> None:
    died = toy.child(*dev(toy), arm=(die_at, TRAINER, "commit_checkpoint", 3, True))
    assert died.end() == -signal.SIGKILL
    newest = toy.run / "checkpoints" / "checkpoint-6" / "adapter_model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    again = toy.child(*dev(toy))
    assert again.end() == 0, again.said
    assert "going on from step 4 of 8" in again.said
    assert made(toy) == undisturbed


FULL = {
    "while rows are tokenized": ("prism_cli.training.data", "training_labels", 20, 3000),
    "from the start": ("prism_cli.shards.run_record", "_input_record", 1, 500),
    "at the first checkpoint": (TRAINER, "save_weights", 1, 3000),
    "at the second checkpoint": (TRAINER, "save_weights", 2, 3000),
    "at a log line": ("prism_cli.training.journal", "_encoded", 5, 1700),
    "when best is published": ("prism_cli.training.publish", "save_weights", 1, 3000),
    "when last is published": ("prism_cli.training.publish", "save_weights", 2, 3000),
    "when the curves are drawn": ("prism_cli.training.journal", "BytesIO", 1, 3000),
}


@pytest.mark.parametrize("moment", FULL)
def test_a_full_disk_loses_nothing(toy: Toy, undisturbed: dict[str, Any], moment: str) -> None:
    # What it says goes to that disk too: let it be the error alone.
    full = toy.child(*dev(toy), "-q", arm=(fill_disk_at, *FULL[moment]))
    assert full.end() == 3, full.said
    assert "cannot be" in full.said
    assert "Traceback" not in full.said
    assert not (toy.run / "last").exists()
    again = toy.child(*dev(toy))
    assert again.end() == 0, again.said
    assert made(toy) == undisturbed


def test_a_time_limit_leaves_with_7_and_goes_on(toy: Toy, undisturbed: dict[str, Any]) -> None:
    limited = toy.child(*dev(toy), "--max-seconds", "0")
    assert limited.end() == 7, limited.said
    assert "--max-seconds 0 reached" in limited.said
    again = toy.child(*dev(toy))
    assert again.end() == 0, again.said
    assert made(toy) == undisturbed


EARLY = ("--set", "patience=1", "--set", "dev_steps=1", "--set", "select=target_loss", "--set",
         "learning_rate=0.3", "--set", "save_steps=3", "--set", "log_steps=1")  # fmt: skip


@pytest.fixture(scope="module")
def stopped_early(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Any]:
    toy = make_toy(tmp_path_factory.mktemp("early"), tiny_model)
    child = toy.child(*dev(toy), *EARLY)
    assert child.end() == 0, child.said
    assert "stopped early: no measurement after step" in child.said
    found = made(toy)
    figures = found["figures"]
    assert figures["stopped_early"]
    assert figures["best_by"] == "target_loss"
    measured = [line for line in found["log"] if "rows" in line]
    losses = [line["target_loss"] for line in measured]
    assert figures["steps"] == len(measured) < 8
    assert losses[-1] >= losses[-2] == figures["best"]["target_loss"] == min(losses)
    assert all(later < former for former, later in pairwise(losses[:-1]))
    assert (measured[-1]["step"], True) == (figures["steps"], "loss" in found["log"][-1])
    return found


@pytest.mark.parametrize(
    "moment",
    ["before the decision is saved", "with the decision saved", "in the measurement that decides"],
)
def test_an_early_stop_is_decided_again(
    toy: Toy, stopped_early: dict[str, Any], moment: str
) -> None:
    last = stopped_early["figures"]["steps"]
    arms = {
        "before the decision is saved": (TRAINER, "commit_checkpoint", 1 + (last - 1) // 3, False),
        "with the decision saved": (RUN, "publish_model", last, False),
        "in the measurement that decides": (SELECTION, "dev_metrics", last, False, signal.SIGTERM),
    }
    died = toy.child(*dev(toy), *EARLY, arm=(die_at, *arms[moment]))
    assert died.end() in (-signal.SIGKILL, 143), died.said
    again = toy.child(*dev(toy), *EARLY)
    assert again.end() == 0, again.said
    assert made(toy) == stopped_early


def test_a_named_checkpoint_is_gone_on_from(toy: Toy, undisturbed: dict[str, Any]) -> None:
    died = toy.child(*dev(toy), arm=(die_at, TRAINER, "commit_checkpoint", 3, True))
    assert died.end() == -signal.SIGKILL, died.said
    checkpoints = toy.run / "checkpoints"
    assert {path.name for path in checkpoints.glob("c*")} == {"checkpoint-4", "checkpoint-6"}
    refused = toy.train(*dev(toy), "--resume", checkpoints / "checkpoint-5")
    assert refused.returncode == 3
    assert "does not exist; nothing was changed" in refused.stderr
    never = toy.train(*dev(toy), "--resume", "never")
    assert never.returncode == 2
    assert "or replace it with --overwrite" in never.stderr
    assert newest_complete(checkpoints) == checkpoints / "checkpoint-6"
    again = toy.child(*dev(toy), "--resume", checkpoints / "checkpoint-4")
    assert again.end() == 0, again.said
    assert "going on from step 4 of 8" in again.said
    assert made(toy) == undisturbed


def test_never_with_overwrite_starts_from_the_first_step(
    toy: Toy, undisturbed: dict[str, Any]
) -> None:
    died = toy.child(*dev(toy), arm=(die_at, TRAINER, "commit_checkpoint", 1, True))
    assert died.end() == -signal.SIGKILL, died.said
    both = toy.train("--resume", toy.run / "checkpoints" / "checkpoint-2", "--overwrite")
    assert both.returncode == 2
    assert "Use only one of the two options" in both.stderr
    again = toy.child(*dev(toy), "--resume", "never", "--overwrite")
    assert again.end() == 0, again.said
    assert "going on" not in again.said
    assert made(toy) == undisturbed
