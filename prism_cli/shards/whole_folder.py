"""A folder appears whole or not at all: made beside its place, flushed, renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prism_cli.errors import LockedError
from prism_cli.shards.creation import new_attempt
from prism_cli.shards.guard import FileGuard, check_folder
from prism_cli.shards.writer import flush_file, leftover_parts, part_path, sync_directory


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """The folder to fill; it takes `final`'s place when the block ends well, its files as
    readable as itself, and is gone otherwise.

    The caller holds the lock of `final`; what dead runs left beside it is removed. A symbolic
    link stays one: the folder behind it is replaced.

    Raises:
        LockedError: another run has begun on `final` meanwhile; nothing is published.
        ChangedInputError: somebody made or changed `final` meanwhile; likewise.
        StorageError: its parent is gone; likewise.
        OSError: it cannot be written; what was there is as it was.
    """
    final = final.resolve()
    old = _beside(final, "old")
    for left in leftover_parts(final.parent).get(final.name, ()):
        _remove_whole(left, final)
    guard = FileGuard([final])
    part = part_path(final, new_attempt())
    part.mkdir(parents=True)
    made = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield part
        check_folder(final)
        _share(part)
        flush_folder(part)
        if not part.exists() or not os.path.samestat(os.fstat(made), part.stat()):
            raise LockedError(
                f"{final}: another run has begun on this folder while this one worked, which the "
                "lock did not keep out; nothing was published"
            )
        guard.check()
        _remove_whole(old, final)
        if final.exists():
            final.replace(old)
        part.replace(final)
        sync_directory(final.parent)
        _remove_whole(old, final)
    finally:
        os.close(made)
        shutil.rmtree(part, ignore_errors=True)
        settle_folder(final)


def _remove_whole(folder: Path, final: Path) -> None:
    """Remove it under a new name, so that nobody finds it half removed."""
    if folder.is_dir():
        away = part_path(final, new_attempt())
        with suppress(OSError):
            folder.replace(away)
        shutil.rmtree(away, ignore_errors=True)


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
            flush_file(path)
        else:
            sync_directory(path)
    sync_directory(folder)
