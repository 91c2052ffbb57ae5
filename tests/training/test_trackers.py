"""`report_to`: what TensorBoard's own reader finds, and trackers that are missing or fail."""

import signal
from pathlib import Path
from typing import Any

import pytest

from prism_cli.training import trackers
from tests.factories import read_jsonl
from tests.training.runs import Toy, die_at

TENSORBOARD = ("--report-to", "tensorboard")
SHORT = ("--set", "max_steps=4", "--set", "log_steps=1")


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Tag -> step -> value, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader: Any = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    tags: list[str] = reader.Tags()["scalars"]
    events = {tag: [(one.step, one.value) for one in reader.Scalars(tag)] for tag in tags}
    assert all(len(found) == len(dict(found)) for found in events.values()), "a step, once"
    return {tag: dict(found) for tag, found in events.items()}


def logged(run: Path) -> dict[str, dict[int, float]]:
    """The figures of log.jsonl in the same form."""
    expected: dict[str, dict[int, float]] = {}
    for line in read_jsonl(run / "log.jsonl"):
        group = "dev" if "rows" in line else "train"
        step = line.pop("step")
        for name, value in (line | line.pop("timed", {})).items():
            if isinstance(value, int | float):
                expected.setdefault(f"{group}/{name}", {})[step] = value
    return expected


def same(run: Path) -> dict[str, dict[int, float]]:
    """Scalars of a run, which are the figures of its log."""
    found, expected = scalars(run / "tensorboard"), logged(run)
    assert found.keys() == expected.keys()
    for tag, values in expected.items():
        assert found[tag] == pytest.approx(values, rel=1e-5), tag
    return found


def test_tensorboard_reads_the_figures_of_the_log(toy: Toy) -> None:
    done = toy.train("--dev", toy.folder / "dev.jsonl", *TENSORBOARD)
    assert done.returncode == 0, done.stderr
    found = same(toy.run)
    assert {
        "train/loss", "train/pointwise_loss", "train/sft_loss", "train/learning_rate",
        "train/grad_norm", "train/tokens_per_second", "dev/auc", "dev/nDCG@10",
    } <= found.keys()  # fmt: skip
    assert list(found["train/loss"]) == [1, 2, 4, 6, 8]
    assert list(found["dev/auc"]) == [4, 8]


def test_a_resumed_run_continues_the_same_log(toy: Toy) -> None:
    """The killed attempt logged steps after its checkpoint, which the next one makes again."""
    arm = (die_at, "prism_cli.training.trainer", "commit_checkpoint", 3, False, signal.SIGKILL)
    assert toy.child(*TENSORBOARD, "--set", "log_steps=1", arm=arm).end() == -signal.SIGKILL
    before = scalars(toy.run / "tensorboard")["train/loss"]
    assert list(before) == [1, 2, 3, 4, 5, 6]
    (events,) = (toy.run / "tensorboard").iterdir()
    # Files of the same second, as no real run has them, would be read in the order of processes.
    events.rename(events.with_name(events.name.replace("tfevents.1", "tfevents.0", 1)))
    done = toy.train(*TENSORBOARD, "--set", "log_steps=1")
    assert done.returncode == 0, done.stderr
    assert "going on from step 4 of 8" in done.stderr
    assert list(same(toy.run)["train/loss"]) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_where_a_run_is_reported_is_no_part_of_what_it_is(toy: Toy) -> None:
    assert toy.train(*SHORT).returncode == 0
    again = toy.train(*SHORT, *TENSORBOARD)
    assert "finished before; nothing is left to do" in again.stderr
    assert not (toy.run / "tensorboard").exists()
    plain = (toy.run / "manifest.json").read_text()
    assert toy.train(*SHORT, *TENSORBOARD, "--overwrite").returncode == 0
    assert "report_to" not in plain + (toy.run / "manifest.json").read_text()
    assert 'report_to = ["tensorboard"]' in (toy.run / "recipe.toml").read_text()
    same(toy.run)
    assert toy.train(*SHORT, "--seed", "1", "--overwrite").returncode == 0
    assert not (toy.run / "tensorboard").exists(), "of the run that was replaced"


@pytest.mark.slow
def test_one_of_two_processes_reports(toy: Toy) -> None:
    for child in toy.children(*SHORT, *TENSORBOARD):
        assert child.end() == 0, child.said
    assert len(list((toy.run / "tensorboard").iterdir())) == 1
    same(toy.run)


def test_a_tracker_that_is_not_installed_is_named_before_anything_is_written(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "wandb" else name)
    for more in ((), ("--dry-run",)):
        done = toy.train("--report-to", "tensorboard,wandb", *more)
        assert done.returncode == 3
        assert 'report_to = ["wandb"]: this needs wandb, which is not installed' in done.stderr
        assert "'prism-cli[wandb]'" in done.stderr
        assert not toy.run.exists()
    unknown = toy.train("--set", 'report_to=["tensorbord"]')
    assert unknown.returncode == 2
    assert "report_to" in unknown.stderr
    assert "tensorboard" in unknown.stderr


def test_a_tracker_that_fails_costs_no_step(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.tracking import TensorBoardTracker

    real, calls = TensorBoardTracker.log, 0

    def full(self: Any, values: Any, step: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:  # settings, step 1, step 2
            raise OSError(28, "No space left on device")
        real(self, values, step=step)

    monkeypatch.setattr(TensorBoardTracker, "log", full)
    done = toy.train(*SHORT, *TENSORBOARD)
    assert done.returncode == 0, done.stderr
    assert "warning: report_to: tensorboard failed at step 2" in done.stderr
    assert calls == 3
    assert len(read_jsonl(toy.run / "log.jsonl")) == 4


def test_a_tracker_that_does_not_start_is_told_of_before_the_first_step(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (toy.folder / "file").write_text("")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(toy.folder / "file"))
    done = toy.train(*SHORT, *TENSORBOARD)
    assert done.returncode == 3, done.stderr
    assert "report_to: tensorboard did not start" in done.stderr
    assert not (toy.run / "last").exists()
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(toy.folder / "elsewhere"))
    assert toy.train(*SHORT, *TENSORBOARD).returncode == 0
    assert scalars(toy.folder / "elsewhere").keys() == logged(toy.run).keys()
