"""Checkpoints that are there whole or not at all: staged, hashed, renamed.

A checkpoint is a folder checkpoint-STEP with a `complete.json` that names each file's SHA-256.
"""

import re
import shutil
from pathlib import Path

import orjson

from prism_cli.errors import ModelError, UsageError
from prism_cli.shards.measured import measure
from prism_cli.shards.whole_folder import flush_folder
from prism_cli.shards.writer import sync_directory, whole_file

SEAL = "complete.json"
_NAME = re.compile(r"checkpoint-([0-9]+)")


def commit_checkpoint(staged: Path, folder: Path, keep: int) -> Path:
    """Move the folder `staged` (named checkpoint-STEP) into `folder`; keep the newest `keep`.

    Every file is on the disk before the rename, and the seal is written last.
    """
    flush_folder(staged)
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    digests = {str(path.relative_to(staged)): measure(path).sha256 for path in files}
    with whole_file(staged / SEAL) as seal:
        seal.write(orjson.dumps(digests, option=orjson.OPT_INDENT_2))
    final = folder / staged.name
    folder.mkdir(parents=True, exist_ok=True)
    if final.exists():  # a torn one of the same step
        shutil.rmtree(final)
    staged.replace(final)
    sync_directory(folder)
    for _, old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def newest_complete(folder: Path) -> Path | None:
    """The newest checkpoint whose files are all there with the bytes that were written."""
    for _, path in reversed(_checkpoints(folder)):
        if is_complete(path):
            return path
    return None


def chosen_checkpoint(folder: Path, resume: str) -> Path | None:
    """The checkpoint to go on from: the newest complete one, or the one that `resume` names.

    Args:
        folder: the run's checkpoints.
        resume: "auto", "never", or the path of one of `folder`.

    Raises:
        UsageError: it is none of this run's.
        ModelError: it is not whole.
    """
    if resume == "never":
        return None
    if resume == "auto":
        return newest_complete(folder)
    path = Path(resume)
    whole = [one.name for _, one in _checkpoints(folder) if is_complete(one)]
    there = f"complete ones of this run: {', '.join(whole) or 'none'}"
    if path.resolve().parent != folder.resolve() or not _NAME.fullmatch(path.name):
        raise UsageError(
            f"--resume {resume}: expected auto, never, or a checkpoint of this run, such as "
            f"{folder / 'checkpoint-500'}; nothing was changed ({there})"
        )
    if path.name not in whole:
        found = "not what its complete.json says" if path.is_dir() else "not there"
        raise ModelError(f"--resume {resume}: {found}; nothing was changed ({there})")
    return path


def drop_newer(folder: Path, kept: Path) -> None:
    """Remove the checkpoints of later steps than `kept`."""
    for step, path in _checkpoints(folder):
        if step > checkpoint_step(kept):
            shutil.rmtree(path)


def is_complete(path: Path) -> bool:
    """Whether a checkpoint holds exactly what its seal says."""
    try:
        digests = orjson.loads((path / SEAL).read_bytes())
        return bool(digests) and all(
            measure(path / name).sha256 == digest for name, digest in digests.items()
        )
    except (OSError, orjson.JSONDecodeError, AttributeError):
        return False


def checkpoint_step(path: Path) -> int:
    """STEP of checkpoint-STEP.

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
