"""Checkpoints that are there whole or not at all: staged, hashed, renamed.

A checkpoint is a folder checkpoint-STEP with a `complete.json` that names each file's SHA-256.
"""

import os
import re
import shutil
from pathlib import Path

import orjson

from prism_cli.shards.reader import measure
from prism_cli.shards.writer import sync_directory, whole_file

SEAL = "complete.json"
_NAME = re.compile(r"checkpoint-([0-9]+)")


def commit_checkpoint(staged: Path, folder: Path, keep: int) -> Path:
    """Move the folder `staged` (named checkpoint-STEP) into `folder`; keep the newest `keep`.

    Every file is on the disk before the rename, and the seal is written last.
    """
    digests = {
        str(path.relative_to(staged)): measure(path).sha256 for path in files_on_disk(staged)
    }
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


def is_complete(path: Path) -> bool:
    """Whether a checkpoint holds exactly what its seal says."""
    try:
        digests = orjson.loads((path / SEAL).read_bytes())
        return bool(digests) and all(
            measure(path / name).sha256 == digest for name, digest in digests.items()
        )
    except (OSError, orjson.JSONDecodeError, AttributeError):
        return False


def files_on_disk(folder: Path) -> list[Path]:
    """The files below `folder`, sorted, each flushed to the disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return files


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
