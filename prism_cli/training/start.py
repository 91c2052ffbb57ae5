"""The start of a training run: compare its directory with the command, then claim it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from prism_cli.configs.base import to_dict
from prism_cli.errors import ChangedInputError, UsageError
from prism_cli.shards.file_creation import refuse_dead_link
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.reader import Shard
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.writer import remove_file, sweep_folder, whole_file
from prism_cli.training.checkpoints import chosen_checkpoint, drop_newer
from prism_cli.training.publish import published_figures
from prism_cli.training.request import TrainRequest
from prism_cli.training.trackers import IDS, TRACKERS

MANIFEST = "manifest.json"
SPLIT_OUTPUTS = ("train.jsonl", "dev.jsonl")
"""Outputs of `prism split`; split.jsonl.manifest.json is beside them."""
CHECKPOINTS = "checkpoints"
_BASE = "base.sha256"
SCRATCH = (CHECKPOINTS, "tokens", ".staging")
"""Folders that exist until the run is finished."""
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
_BOOKKEEPING = ("save_steps", "keep_checkpoints", "log_steps")
"""Settings that do not affect the weights, and may differ in a resumed run."""


@dataclass(frozen=True)
class Start:
    """The state in which this command starts in the run directory.

    Attributes:
        finished: the content of the manifest if the run is finished, else None.
        replaces: the directory has another run, or this run finished, and --overwrite was given.
        checkpoint: the one to continue from; None for the first step.
        best: the figures of the best model so far.
    """

    record: RunRecord
    finished: dict[str, Any] | None = None
    replaces: bool = False
    checkpoint: Path | None = None
    best: dict[str, Any] | None = None


def plan_start(request: TrainRequest, shards: Sequence[Shard], dev: Sequence[Shard]) -> Start:
    """Compare this command with the run directory, without changing it.

    Raises:
        ChangedInputError: the directory has other content, and --overwrite was not given.
        ModelError: as `chosen_checkpoint`.
        UsageError: likewise, or the directory is a link to one that does not exist.
    """
    run = request.run
    refuse_dead_link(run)
    record = RunRecord(
        "train",
        recorded_settings(request),
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
    if not _has_content(run):
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


def recorded_settings(request: TrainRequest) -> dict[str, Any]:
    """Return the settings that determine the weights."""
    config = {**to_dict(request.config), "limit": request.limit, "fields": request.fields}
    del config["report_to"]  # the run is the same wherever it is reported
    return config


def _continuation(request: TrainRequest, record: RunRecord) -> Start:
    checkpoint = chosen_checkpoint(request.run / CHECKPOINTS, request.resume)
    return Start(record, checkpoint=checkpoint, best=published_figures(request.run, "best"))


def _replacement(request: TrainRequest, record: RunRecord) -> Start:
    if request.resume not in ("auto", "never"):
        raise UsageError(
            f"--resume {request.resume}: with --overwrite the run of this checkpoint would be "
            "replaced; nothing was changed. Use only one of the two options"
        )
    return Start(record, replaces=True)


def decontamination(shards: Sequence[Shard]) -> dict[str, Any]:
    """Return the decontamination of each file against evaluation sets, by `prism split`.

    Returns:
        file -> {"kept clear of": names or None, "dropped": {reason: rows}}; None for a file without
        a manifest of `prism split` beside it.
    """
    by_file: dict[str, Any] = {}
    for shard in shards:
        path = manifest_path(shard.path.with_name("split.jsonl"))
        manifest = read_manifest(path) if shard.path.name in SPLIT_OUTPUTS else None
        by_file[shard.name] = manifest and {
            "kept clear of": manifest["figures"].get("kept clear of"),
            "dropped": manifest["counts"]["dropped"],
        }
    return by_file


def claim(request: TrainRequest, start: Start) -> None:
    """Claim the run directory: remove the replaced run, write manifest and recipe.

    The old manifest is removed first, so that a partly removed run is not taken for a run. If a
    checkpoint was named, later ones are removed.
    """
    run = request.run
    run.mkdir(parents=True, exist_ok=True)
    if start.checkpoint is not None and request.resume != "auto":
        drop_newer(run / CHECKPOINTS, start.checkpoint)
    if start.replaces:
        remove_file(run / MANIFEST)
        for folder in ("best", "last", *SCRATCH, *TRACKERS):
            shutil.rmtree(run / folder, ignore_errors=True)
        for name in (
            "log.jsonl",
            IDS,
            "curves.svg",
            "speed.svg",
            "train.rejects.jsonl",
            "dev.rejects.jsonl",
        ):
            remove_file(run / name)
    start.record.begin()
    sweep_folder(run)
    content = to_dict(request.config, exclude_none=True)
    with whole_file(run / "recipe.toml") as file:
        file.write(b"# The resolved settings of this run: prism train --recipe recipe.toml\n")
        file.write(tomlkit.dumps(content).encode())


def require_same_base(run: Path, fingerprint: str) -> None:
    """Compare the base model's fingerprint with that beside the checkpoints.

    Raises:
        ChangedInputError: the checkpoints belong to another base model.
    """
    note = run / CHECKPOINTS / _BASE
    if note.is_file() and (begun := note.read_text(encoding="ascii")) != fingerprint:
        raise ChangedInputError(
            f"{run}: its checkpoints were trained on a base model with sha256 {begun[:12]}…, the "
            f"model is now {fingerprint[:12]}…; nothing was changed. Bring the former model back, "
            "or begin the run again with --resume never --overwrite"
        )


def note_base(run: Path, fingerprint: str) -> None:
    """Write the base model's fingerprint beside the checkpoints."""
    note = run / CHECKPOINTS / _BASE
    note.parent.mkdir(exist_ok=True)
    with whole_file(note) as file:
        file.write(fingerprint.encode())


def clear_scratch(run: Path) -> None:
    """Remove the folders that a finished run no longer needs."""
    for folder in SCRATCH:
        shutil.rmtree(run / folder, ignore_errors=True)


def _has_content(run: Path) -> bool:
    """Return True if there is anything but hidden partial files of a killed run."""
    return run.exists() and (
        not run.is_dir() or any(not path.name.startswith(".") for path in run.iterdir())
    )
