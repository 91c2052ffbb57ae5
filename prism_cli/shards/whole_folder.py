"""A folder appears whole or not at all: made beside its place, flushed, renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prism_cli.shards.writer import sync_directory


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """The folder to fill; it takes `final`'s place when the block ends well, its files as
    readable as itself, and is gone otherwise.

    The caller holds the lock of `final`; what a killed run left beside it is replaced. A symbolic
    link stays one: the folder behind it is replaced.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    final = final.resolve()
    part, old = _beside(final, "part"), _beside(final, "old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        _share(part)
        flush_folder(part)
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            final.replace(old)
        part.replace(final)
        sync_directory(final.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        settle_folder(final)


def settle_folder(final: Path) -> None:
    """Give a folder its name back that a kill between two renames left under the old one."""
    final = final.resolve()
    old = _beside(final, "old")
    if old.exists() and not final.exists():
        old.replace(final)


def _beside(final: Path, what: str) -> Path:
    return final.with_name(f".{final.name}.{what}")


def _share(folder: Path) -> None:
    """Files as readable as their folder: safetensors leaves its own to their owner alone, and a
    server may run as somebody else."""
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def flush_folder(folder: Path) -> None:
    """Everything below `folder`, and itself, to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            sync_directory(path)
    sync_directory(folder)
