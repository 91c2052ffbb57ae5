"""The papers of a run directory: what made it, and whether this command may go on with it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomlkit

from prism_cli.configs.base import dumped
from prism_cli.errors import ChangedInputError
from prism_cli.shards.manifest import (
    InputRecord,
    Manifest,
    is_finished,
    manifest_path,
    read_manifest,
)
from prism_cli.shards.measured import measure
from prism_cli.shards.reader import Shard
from prism_cli.shards.writer import remove_file, sweep_folder, whole_file
from prism_cli.training.request import TrainRequest

MANIFEST = "manifest.json"
SPLIT_OUTPUTS = ("train.jsonl", "dev.jsonl")
"""What `prism split` writes, with split.jsonl.manifest.json beside them."""
SCRATCH = ("checkpoints", "tokens", ".staging")
"""Folders of a run that is not finished."""
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
_BOOKKEEPING = ("save_steps", "keep_checkpoints", "log_steps")
"""Settings that change nothing of the weights: a resumed run may have others."""
_NEWER = ("stop_at_collapse",)
"""Settings, None by default, that manifests of earlier versions lack."""


@dataclass(frozen=True)
class Papers:
    """What this command means for the run directory.

    Attributes:
        finished: the content of the manifest where nothing is left to do, else None.
        replaces: the directory holds another run, or this one finished, and --overwrite was given.
    """

    manifest: Manifest
    finished: dict[str, Any] | None = None
    replaces: bool = False


def look_at(request: TrainRequest, shards: Sequence[Shard], dev: Sequence[Shard]) -> Papers:
    """Hold this command against the run directory; changes nothing.

    Raises:
        ChangedInputError: the directory holds something else, and --overwrite was not given.
    """
    config = dumped(request.config)
    manifest = Manifest(
        "train",
        {**config, "limit": request.limit, "fields": request.fields},
        _records(shards),
        _records(dev),
    )
    manifest.versions |= {name: version(name) for name in _LIBRARIES}
    run = request.run
    if not _holds_something(run):
        return Papers(manifest)
    if request.resume == "never" and not request.overwrite:
        raise ChangedInputError(
            f"{run}: holds something, and --resume never starts a run from its first step; it was "
            "left as it is. Name another output with -o, or replace it with --overwrite"
        )
    previous = read_manifest(run / MANIFEST)
    try:
        finished = _same_run(run, previous, manifest) and (run / "last").is_dir()
    except ChangedInputError:
        if not request.overwrite:
            raise
        return Papers(manifest, replaces=True)
    assert previous is not None
    if request.overwrite and (finished or request.resume == "never"):
        return Papers(manifest, replaces=True)
    if finished:
        return Papers(manifest, finished=previous)
    manifest.attempts = previous["attempts"] + 1
    manifest.seconds = previous["seconds"]
    return Papers(manifest)


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


def claim(request: TrainRequest, papers: Papers) -> None:
    """Make the run directory this command's: remove what it replaces, write manifest and recipe.

    The old manifest goes first, so that half a removal is never taken for a run.
    """
    run = request.run
    run.mkdir(parents=True, exist_ok=True)
    if papers.replaces:
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
    papers.manifest.write(run / MANIFEST)
    sweep_folder(run)
    content = dumped(request.config, exclude_none=True)
    with whole_file(run / "recipe.toml") as file:
        file.write(b"# The resolved settings of this run: prism train --recipe recipe.toml\n")
        file.write(tomlkit.dumps(content).encode())


def clear_scratch(run: Path) -> None:
    """Remove what a finished run needs no more."""
    for folder in SCRATCH:
        shutil.rmtree(run / folder, ignore_errors=True)


def _same_run(run: Path, previous: dict[str, Any] | None, now: Manifest) -> bool:
    """Whether the same run is finished; False where it is the same and unfinished."""
    if previous is not None:
        kept = {name: now.config[name] for name in _BOOKKEEPING}
        newer = dict.fromkeys(_NEWER)
        previous = {**previous, "config": {**newer, **previous["config"], **kept}}
    finished = is_finished(run, previous, now, lambda _path, _size: "")
    assert previous is not None
    for what, before, after in (
        ("rows", previous["inputs"], now.inputs),
        ("dev rows", previous["dependencies"], now.dependencies),
    ):
        if [one["sha256"] for one in before] != [one.sha256 for one in after]:
            raise ChangedInputError(
                f"{run}: made from other {what}; it was left as it is:\n"
                f"  was {', '.join(one['path'] for one in before) or 'none'}\n"
                f"  is {', '.join(one.path for one in after) or 'none'}\n"
                "Name another output with -o, or replace it with --overwrite"
            )
    return finished


def _holds_something(run: Path) -> bool:
    """Parts that a killed run left under hidden names are nothing."""
    return run.exists() and (
        not run.is_dir() or any(not path.name.startswith(".") for path in run.iterdir())
    )


def _records(shards: Sequence[Shard]) -> list[InputRecord]:
    found = [(shard.name, measure(shard.path)) for shard in shards]
    return [InputRecord(name, one.bytes, one.sha256) for name, one in found]
