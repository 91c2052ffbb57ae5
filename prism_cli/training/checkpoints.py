"""Atomic checkpoints: staged, hashed, renamed.

A checkpoint is a folder checkpoint-STEP with a `complete.json` that has each file's SHA-256.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import orjson

from prism_cli.errors import ModelError, StorageError, UsageError
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.whole_folder import flush_folder
from prism_cli.shards.writer import sync_directory, whole_file

SEAL = "complete.json"
_NAME = re.compile(r"checkpoint-([0-9]+)")


def commit_checkpoint(
    staged: Path, folder: Path, keep: int, hashed: Mapping[str, str] | None = None
) -> Path:
    """Move the folder `staged` (named checkpoint-STEP) into `folder`; keep the newest `keep`.

    All files are flushed to disk before the rename; complete.json is written last.

    Args:
        hashed: SHA-256 of files that the processes of a run wrote, flushed and hashed, by path
            below `staged`.

    Raises:
        StorageError: one of these files is not there.
    """
    flush_folder(staged)
    digests = dict(hashed or {})
    for name in digests:
        if not (staged / name).is_file():
            raise StorageError(
                f"{staged / name}: was written by another process and is not there; the checkpoint "
                "before it is whole. Expected -o to name a directory that all nodes share"
            )
    for path in staged.rglob("*"):
        name = str(path.relative_to(staged))
        if path.is_file() and name not in digests:
            digests[name] = digest_file(path).sha256
    digests = dict(sorted(digests.items()))
    with whole_file(staged / SEAL) as seal:
        seal.write(orjson.dumps(digests, option=orjson.OPT_INDENT_2))
    final = folder / staged.name
    folder.mkdir(parents=True, exist_ok=True)
    if final.exists():  # an incomplete checkpoint of the same step
        shutil.rmtree(final)
    staged.replace(final)
    sync_directory(folder)
    for _, old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def newest_complete(folder: Path) -> Path | None:
    """Return the newest checkpoint whose files all match complete.json."""
    for _, path in reversed(_checkpoints(folder)):
        if is_complete(path):
            return path
    return None


def chosen_checkpoint(folder: Path, resume: str) -> Path | None:
    """Return the checkpoint to resume from; None for the first step.

    Args:
        folder: the run's checkpoints.
        resume: "auto" (the newest complete one), "never", or the path of one in `folder`.

    Raises:
        UsageError: the path is not a checkpoint of this run.
        ModelError: the checkpoint is incomplete or missing.
    """
    if resume == "never":
        return None
    if resume == "auto":
        return newest_complete(folder)
    path = Path(resume)
    complete = [path.name for _, path in _checkpoints(folder) if is_complete(path)]
    available = f"complete ones of this run: {', '.join(complete) or 'none'}"
    if path.resolve().parent != folder.resolve() or not _NAME.fullmatch(path.name):
        raise UsageError(
            f"--resume {resume}: expected auto, never, or a checkpoint of this run, such as "
            f"{folder / 'checkpoint-500'}; nothing was changed ({available})"
        )
    if path.name not in complete:
        reason = "differs from its complete.json" if path.is_dir() else "does not exist"
        raise ModelError(f"--resume {resume}: {reason}; nothing was changed ({available})")
    return path


def drop_newer(folder: Path, kept: Path) -> None:
    """Remove checkpoints of later steps than `kept`."""
    for step, path in _checkpoints(folder):
        if step > checkpoint_step(kept):
            shutil.rmtree(path)


def is_complete(path: Path) -> bool:
    """Return True if the files of a checkpoint match its complete.json."""
    try:
        digests = orjson.loads((path / SEAL).read_bytes())
        return bool(digests) and all(
            digest_file(path / name).sha256 == digest for name, digest in digests.items()
        )
    except (OSError, orjson.JSONDecodeError, AttributeError):
        return False


def checkpoint_step(path: Path) -> int:
    """Return STEP of checkpoint-STEP.

    Raises:
        ValueError: another name.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path}: not the name of a checkpoint")
    return int(match[1])


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    return sorted(
        (checkpoint_step(path), path) for path in folder.iterdir() if _NAME.fullmatch(path.name)
    )
