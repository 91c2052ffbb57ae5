"""Two processes against one: the same losses and model, whatever happens to one of them."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from prism_cli.modeling.loading import load_model
from prism_cli.training.checkpoints import newest_complete
from tests.factories import read_jsonl
from tests.training.runs import (
    Child,
    Toy,
    die_at,
    make_toy,
    overflow_at,
    short_of_memory,
    slow_down,
)

TRAINER = "prism_cli.training.trainer"
# Five rows a step: three and two, or two and three, in passes of their own number.
SETTINGS = (
    "--set", "rows_per_step=5", "--set", "log_steps=1", "--set", "tokens_per_batch=300",
)  # fmt: skip
FULL = ("--set", "method=full", "--set", "learning_rate=1e-3")
METHODS: dict[str, tuple[str, ...]] = {"lora": (), "full": FULL}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def settings(toy: Toy, method: str = "lora") -> tuple[str | Path, ...]:
    return (*SETTINGS, *METHODS[method], "--dev", toy.folder / "dev.jsonl")


def losses(run: Path) -> list[float]:
    lines = [line for line in read_jsonl(run / "log.jsonl") if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 9))
    return [line["loss"] for line in lines]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def ended(children: list[Child]) -> list[int]:
    return [child.end() for child in children]


def said(children: list[Child]) -> str:
    return "\n".join(child.said for child in children)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Path]:
    """Runs of one process, by method."""
    toy = make_toy(tmp_path_factory.mktemp("alone"), tiny_model)
    for name in METHODS:
        child = toy.child(*settings(toy, name), run=name)
        assert child.end() == 0, child.said
    return {name: toy.folder / name for name in METHODS}


def assert_equal(run: Path, expected: Path) -> None:
    assert losses(run) == losses(expected)
    for name in ("last", "best"):
        (found,), (wanted,) = ((folder / name).glob("*.safetensors") for folder in (run, expected))
        assert found.read_bytes() == wanted.read_bytes()


def assert_same(run: Path, expected: Path) -> None:
    assert losses(run) == pytest.approx(losses(expected), rel=1e-4)
    for name in ("last", "best"):
        found, wanted = weights(run / name), weights(expected / name)
        assert found.keys() == wanted.keys()
        for key, tensor in wanted.items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_have_the_losses_and_the_weights_of_one(
    toy: Toy, alone: dict[str, Path], method: str
) -> None:
    children = toy.children(*settings(toy, method))
    assert ended(children) == [0, 0], said(children)
    assert said(children).count(": 8 steps") == 1  # of both, one speaks
    assert_equal(toy.run, alone[method])
    again = toy.children(*settings(toy, method))
    assert ended(again) == [0, 0], said(again)
    assert said(again).count("finished before") == 1


def test_memory_that_ends_in_one_process_holds_up_no_other(
    toy: Toy, alone: dict[str, Path]
) -> None:
    # Smaller passes have another dropout; full training has none.
    children = toy.children(*settings(toy, "full"), arms={1: (short_of_memory, 2)})
    assert ended(children) == [0, 0], said(children)
    assert_same(toy.run, alone["full"])


def test_a_signal_to_one_process_ends_both_and_they_go_on(toy: Toy, alone: dict[str, Path]) -> None:
    slow = (slow_down, TRAINER, "step_loss", 0.1)
    children = toy.children(*settings(toy), arms={0: slow, 1: slow})
    children[0].wait_for(toy.run / "checkpoints" / "checkpoint-2")
    children[1].send(signal.SIGTERM)
    assert ended(children) == [143, 143], said(children)
    saved = newest_complete(toy.run / "checkpoints")
    assert saved is not None
    again = toy.children(*settings(toy))
    assert ended(again) == [0, 0], said(again)
    assert f"going on from step {saved.name.rpartition('-')[2]} of 8" in said(again)
    assert_equal(toy.run, alone["lora"])


def test_a_signal_to_one_process_ends_a_measurement_in_both(
    toy: Toy, alone: dict[str, Path]
) -> None:
    stop: Any = (die_at, "prism_cli.training.dev", "token_batches", 1, False, signal.SIGTERM)
    children = toy.children(*settings(toy), arms={1: stop})
    assert ended(children) == [143, 143], said(children)
    assert not [line for line in read_jsonl(toy.run / "log.jsonl") if "rows" in line]
    again = toy.children(*settings(toy))
    assert ended(again) == [0, 0], said(again)
    assert_equal(toy.run, alone["lora"])


@pytest.mark.parametrize("method", METHODS)
def test_sharded_weights_train_stop_and_go_on(
    toy: Toy, alone: dict[str, Path], method: str
) -> None:
    """The second process dies with its part of the third checkpoint written. Two processes go on
    from the second one, and so does one."""
    die: Any = (die_at, TRAINER, "own_digests", 3, False)
    children = toy.children(*settings(toy, method), arms={1: die}, sharded=True)
    codes = ended(children)
    assert codes == [6, -signal.SIGKILL], said(children)
    checkpoints = toy.run / "checkpoints"
    saved = newest_complete(checkpoints)
    assert saved is not None
    assert saved.name == "checkpoint-4"
    parts = sorted(path.name for path in saved.glob("shards/*"))
    assert {"__0_0.distcp", "__1_0.distcp"} < set(parts)
    shutil.copytree(toy.run, toy.folder / "one")
    one = toy.child(*settings(toy, method), run="one")
    again = toy.children(*settings(toy, method), sharded=True)
    assert (one.end(), ended(again)) == (0, [0, 0]), one.said + said(again)
    for text, run in ((one.said, toy.folder / "one"), (said(again), toy.run)):
        assert "going on from step 4 of 8" in text
        assert_same(run, alone[method])
        load_model(str(run), device="cpu", dtype="float32")


def test_sharded_weights_and_too_little_memory_are_told(toy: Toy) -> None:
    children = toy.children(*settings(toy), arms={1: (short_of_memory, 2)}, sharded=True)
    codes = ended(children)
    assert codes[1] == 3, said(children)
    assert "tokens_per_batch = 300 does not fit into memory" in children[1].said
    assert codes[0] != 0


def test_a_shard_that_becomes_nan_ends_both_processes(toy: Toy) -> None:
    nan: Any = (overflow_at, 2)
    children = toy.children(*settings(toy), arms={1: nan}, sharded=True)
    assert ended(children) == [3, 3], said(children)
    assert said(children).count("step 2: the trained weights became NaN or infinite") == 2
    assert newest_complete(toy.run / "checkpoints") is None
