"""The start of a training run: compare its directory with the command, then claim it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from prism_cli.configs.base import dumped
from prism_cli.errors import ChangedInputError, UsageError
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.reader import Shard
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.writer import remove_file, sweep_folder, whole_file
from prism_cli.training.checkpoints import chosen_checkpoint, drop_newer
from prism_cli.training.publish import published_figures
from prism_cli.training.request import TrainRequest

MANIFEST = "manifest.json"
SPLIT_OUTPUTS = ("train.jsonl", "dev.jsonl")
"""What `prism split` writes, with split.jsonl.manifest.json beside them."""
CHECKPOINTS = "checkpoints"
SCRATCH = (CHECKPOINTS, "tokens", ".staging")
"""Folders of a run that is not finished."""
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
_BOOKKEEPING = ("save_steps", "keep_checkpoints", "log_steps")
"""Settings that change nothing of the weights: a resumed run may have others."""


@dataclass(frozen=True)
class Start:
    """How this command starts on the run directory.

    Attributes:
        finished: the content of the manifest where nothing is left to do, else None.
        replaces: the directory holds another run, or this one finished, and --overwrite was given.
        checkpoint: the one to continue from; None for the first step.
        best: the figures of the best model so far.
    """

    record: RunRecord
    finished: dict[str, Any] | None = None
    replaces: bool = False
    checkpoint: Path | None = None
    best: dict[str, Any] | None = None


def plan_start(request: TrainRequest, shards: Sequence[Shard], dev: Sequence[Shard]) -> Start:
    """Compare this command with the run directory, which stays as it is.

    Raises:
        ChangedInputError: the directory holds something else, and --overwrite was not given.
        ModelError, UsageError: as `chosen_checkpoint`.
    """
    run = request.run
    config = {**dumped(request.config), "limit": request.limit, "fields": request.fields}
    record = RunRecord(
        "train",
        config,
        run,
        run / MANIFEST,
        inputs=shards,
        dependencies=dev,
        outputs=[run],
        inputs_may_grow=False,
        bookkeeping=_BOOKKEEPING,
        libraries=_LIBRARIES,
    )
    _ = record.manifest  # hashes the rows once, for all processes
    if not _holds_something(run):
        return _continuation(request, record)
    if request.resume == "never" and not request.overwrite:
        raise ChangedInputError(
            f"{run}: holds something, and --resume never starts a run from its first step; it was "
            "left as it is. Name another output with -o, or replace it with --overwrite"
        )
    try:
        finished = record.finished()
    except ChangedInputError:
        if not request.overwrite:
            raise
        return _replacement(request, record)
    if not (run / "last").is_dir():
        finished = None
    if request.overwrite and (finished or request.resume == "never"):
        return _replacement(request, record)
    if finished:
        return Start(record, finished)
    return _continuation(request, record)


def _continuation(request: TrainRequest, record: RunRecord) -> Start:
    checkpoint = chosen_checkpoint(request.run / CHECKPOINTS, request.resume)
    return Start(record, checkpoint=checkpoint, best=published_figures(request.run, "best"))


def _replacement(request: TrainRequest, record: RunRecord) -> Start:
    if request.resume not in ("auto", "never"):
        raise UsageError(
            f"--resume {request.resume}: with --overwrite the run that it belongs to would be "
            "replaced; nothing was changed. Leave one of the two out"
        )
    return Start(record, replaces=True)


def decontamination(shards: Sequence[Shard]) -> dict[str, Any]:
    """How the rows were kept clear of evaluation sets: by `prism split`, whose manifest says it.

    Returns:
        file -> {"kept clear of": names or None, "dropped": {reason: rows}}; a file beside which no
        manifest of split stands has None.
    """
    found: dict[str, Any] = {}
    for shard in shards:
        path = manifest_path(shard.path.with_name("split.jsonl"))
        said = read_manifest(path) if shard.path.name in SPLIT_OUTPUTS else None
        found[shard.name] = said and {
            "kept clear of": said["figures"].get("kept clear of"),
            "dropped": said["counts"]["dropped"],
        }
    return found


def claim(request: TrainRequest, start: Start) -> None:
    """Make the run directory this command's: remove what it replaces, write manifest and recipe.

    The old manifest goes first, so that half a removal is never taken for a run. Where a checkpoint
    was named, later ones go: the run takes another way from there.
    """
    run = request.run
    run.mkdir(parents=True, exist_ok=True)
    if start.checkpoint is not None and request.resume != "auto":
        drop_newer(run / CHECKPOINTS, start.checkpoint)
    if start.replaces:
        remove_file(run / MANIFEST)
        for folder in ("best", "last", *SCRATCH):
            shutil.rmtree(run / folder, ignore_errors=True)
        for name in (
            "log.jsonl",
            "curves.svg",
            "speed.svg",
            "train.rejects.jsonl",
            "dev.rejects.jsonl",
        ):
            remove_file(run / name)
    start.record.begin()
    sweep_folder(run)
    content = dumped(request.config, exclude_none=True)
    with whole_file(run / "recipe.toml") as file:
        file.write(b"# The resolved settings of this run: prism train --recipe recipe.toml\n")
        file.write(tomlkit.dumps(content).encode())


def clear_scratch(run: Path) -> None:
    """Remove what a finished run needs no more."""
    for folder in SCRATCH:
        shutil.rmtree(run / folder, ignore_errors=True)


def _holds_something(run: Path) -> bool:
    """Parts that a killed run left under hidden names are nothing."""
    return run.exists() and (
        not run.is_dir() or any(not path.name.startswith(".") for path in run.iterdir())
    )
