"""`prism train` over a toy: in this process, or in a child that may be killed."""

import importlib
import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from prism_cli.app import main
from prism_cli.training import journal
from tests.door import Done, prism
from tests.factories import Row, write_jsonl

RECIPE = """\
method = "lora"
mixture = "mixed"
sft_ratio = 0.5
max_steps = 8
rows_per_step = 4
tokens_per_batch = 400
max_tokens = 256
learning_rate = 5e-3
warmup_steps = 1
gradient_checkpointing = false
dtype = "float32"
save_steps = 2
log_steps = 2
dev_steps = 4
[lora]
r = 4
alpha = 8
dropout = 0.1
target_modules = ["q_proj", "v_proj", "down_proj"]
"""
ONE_PANEL = {name: getattr(journal, name)[:1] for name in ("_CURVES", "_SPEED")}
"""The charts' panels that runs of a toy draw: all of them take a quarter of its time."""
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "prism_cli.training.run",
        "prism_cli.commands.train",
        "prism_cli.commands.train_plan",
        "prism_cli.commands.wiring",
        "prism_cli.configs.load",
        "prism_cli.configs.recipes",
        "prism_cli.configs.stages",
        "prism_cli.engine.progress_display",
        "prism_cli.reporting.svg",
        "ir_measures",
        "matplotlib.backends.backend_svg",
        "matplotlib.pyplot",
        "peft.utils.transformers_weight_conversion",
        "scipy.stats",
        "torch.distributed.checkpoint.state_dict",
        "torch.distributed.fsdp",
        __name__,
        "tests.training.warmed",
    ]
)


def toy_rows(count: int, start: int = 0) -> list[Row]:
    """Rows with both objectives, one of them, of several lengths; half of the verdicts are yes."""
    rows: list[Row] = []
    for number in range(start, start + count):
        yes = number % 2 == 0
        row: Row = {
            "query_id": f"q{number // 2}",
            "query": f"item {number}",
            "document": ("apples and pears " if yes else "stones ") * (1 + number % 5),
            "teacher_score": 0.9 if yes else 0.1,
            "verdict": "yes" if yes else "no",
        }
        if yes:
            row |= {"contribution": f"It names item {number}.", "evidence": "apples and pears"}
        if number % 4 == 1:
            del row["verdict"]
        rows.append(row)
    return rows


@dataclass(frozen=True)
class Toy:
    """A folder with train.jsonl, dev.jsonl and toy.toml, and the tiny model."""

    folder: Path
    model: Path

    @property
    def run(self) -> Path:
        """The run directory of `words`."""
        return self.folder / "run"

    def words(self, *more: str | Path, run: str = "run") -> list[str]:
        """A command line."""
        return [
            "train", str(self.folder / "train.jsonl"), "-o", str(self.folder / run), "--recipe",
            str(self.folder / "toy.toml"), "--model", str(self.model), "--device", "cpu",
            *map(str, more),
        ]  # fmt: skip

    def train(self, *more: str | Path, run: str = "run") -> Done:
        """Run it here."""
        return prism(*self.words(*more, run=run))

    def child(self, *more: str | Path, run: str = "run", arm: "Arm | None" = None) -> "Child":
        """Run it in a process of its own."""
        return Child(self.words(*more, run=run), self.folder, arm)

    def children(
        self,
        *more: str | Path,
        run: str = "run",
        arms: "dict[int, Arm] | None" = None,
        sharded: bool = False,
    ) -> "list[Child]":
        """Run it in two processes, as torchrun or accelerate launch would start them."""
        words = self.words(*more, run=run)
        return pair(self.folder, words, words, arms, sharded)

    def adapter(self, run: str = "run", name: str = "last") -> bytes:
        """The bytes that a run ends in."""
        return (self.folder / run / name / "adapter_model.safetensors").read_bytes()


def make_toy(folder: Path, model: Path) -> Toy:
    """Rows and settings in `folder`."""
    write_jsonl(folder / "train.jsonl", toy_rows(24))
    write_jsonl(folder / "dev.jsonl", toy_rows(8, start=100))
    (folder / "toy.toml").write_text(RECIPE)
    return Toy(folder, model)


Arm = tuple[Callable[..., None], *tuple[Any, ...]]
"""A function of this module with its arguments, called in the child before `main`."""


class Child:
    """A forked `prism`, from a server that has the slow libraries loaded."""

    def __init__(
        self, words: list[str], folder: Path, arm: Arm | None, log: str = "child.log"
    ) -> None:
        self._log = folder / log
        self.process: BaseProcess = SERVER.Process(
            target=_in_child, args=(words, folder, dict(os.environ), self._log, arm)
        )
        self.process.start()

    def wait_for(self, path: Path) -> None:
        """Until `path` exists."""
        deadline = time.monotonic() + 300
        while not path.exists():
            assert self.process.is_alive(), self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.005)

    def send(self, number: int) -> None:
        """A signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self) -> int:
        """Wait; the exit code, negative for a signal."""
        self.process.join(600)
        assert self.process.exitcode is not None, self.said
        return self.process.exitcode

    @property
    def said(self) -> str:
        """Both streams."""
        return self._log.read_text() if self._log.exists() else ""


def pair(
    folder: Path,
    first: list[str],
    second: list[str],
    arms: dict[int, Arm] | None = None,
    sharded: bool = False,
) -> list[Child]:
    """Two processes of a run, with the words of each."""
    port = free_port()
    return [
        Child(
            words,
            folder,
            (join, rank, port, sharded, (arms or {}).get(rank)),
            f"child{rank}.log",
        )
        for rank, words in enumerate((first, second))
    ]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _in_child(
    words: list[str], folder: Path, environment: dict[str, str], log: Path, arm: Arm | None
) -> None:
    os.environ.update(environment)
    for name, panels in ONE_PANEL.items():
        setattr(journal, name, panels)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    run_words(words, folder, arm)


def run_words(words: list[str], folder: Path, arm: Arm | None, sharded: bool = False) -> None:
    """Be `prism`, in `folder`."""
    os.chdir(folder)
    if sharded:
        shard()
    if arm:
        arm[0](*arm[1:])
    sys.argv = ["prism", *words]
    main()


def die_at(
    module: str, function: str, times: int, after: bool, number: int = signal.SIGKILL
) -> None:
    """Be sent a signal before or after the so many-th call of `module`.`function`."""
    calls = 0

    def armed(call: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls == times and not after:
            os.kill(os.getpid(), number)
        result = call()
        if calls == times and after:
            os.kill(os.getpid(), number)
        return result

    _surround(module, function, armed)


def die_within(calls: int) -> None:
    """Be killed at the so many-th call that prism, or what writes for it, makes of anything."""
    ours = ("/prism_cli/", "/transformers/trainer", "/torch/serialization.py", "/shutil.py")
    left = calls

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        if event.endswith("call") and any(one in frame.f_code.co_filename for one in ours):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)


def slow_down(module: str, function: str, seconds: float) -> None:
    """Each call of `module`.`function` takes so much longer."""

    def slow(call: Callable[[], Any]) -> Any:
        time.sleep(seconds)
        return call()

    _surround(module, function, slow)


def _surround(module: str, function: str, around: Callable[[Callable[[], Any]], Any]) -> None:
    place = importlib.import_module(module)
    real = getattr(place, function)
    setattr(place, function, lambda *args, **more: around(partial(real, *args, **more)))


def join(rank: int, port: int, sharded: bool, arm: Arm | None) -> None:
    """Be one of two processes, each on a node of its own."""
    group = {"WORLD_SIZE": 2, "RANK": rank, "GROUP_RANK": rank, "LOCAL_RANK": 0}
    os.environ.update({name: str(one) for name, one in group.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if sharded:
        shard()
    if arm:
        arm[0](*arm[1:])


def shard() -> None:
    """Use FSDP as `accelerate launch --use_fsdp` does.

    Accelerate takes FSDP on a CPU for DDP, so it is told that there are several GPUs: all that
    follows is the real thing, over gloo.
    """
    os.environ.update(
        ACCELERATE_USE_FSDP="true",
        FSDP_VERSION="2",
        FSDP_AUTO_WRAP_POLICY="TRANSFORMER_BASED_WRAP",
        FSDP_CPU_RAM_EFFICIENT_LOADING="true",
    )
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    joined = PartialState.__init__

    def init(self: Any, *args: Any, **more: Any) -> None:
        joined(self, *args, **more)
        self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = init  # type: ignore[method-assign]


def short_of_memory(times: int) -> None:
    """Memory ends in the so many-th backward pass, with its gradients added."""
    from accelerate import Accelerator

    real, calls = Accelerator.backward, 0

    def backward(self: Any, loss: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        real(self, loss, **more)
        if calls == times:
            raise torch.OutOfMemoryError("no memory for so much")

    Accelerator.backward = backward  # type: ignore[method-assign]


def overflow_at(times: int) -> None:
    """The so many-th step of the optimizer leaves a weight of this process NaN."""
    real, calls = torch.optim.AdamW.step, 0

    def step(self: Any, closure: Any = None) -> Any:
        nonlocal calls
        calls += 1
        result = real(self, closure)
        if calls == times:
            weight = self.param_groups[0]["params"][-1].detach()
            getattr(weight, "to_local", lambda: weight)().view(-1)[0] = float("nan")
        return result

    torch.optim.AdamW.step = step  # type: ignore[method-assign]


def fill_disk_at(module: str, function: str, times: int, size: int) -> None:
    """From the so many-th call of `module`.`function` on, no file of this process may grow beyond
    `size` bytes: a disk that is nearly full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    calls = 0

    def full(call: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls == times:
            os.ftruncate(1, 0)  # what was said so far would not leave room for the reason
            os.lseek(1, 0, os.SEEK_SET)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return call()

    _surround(module, function, full)
