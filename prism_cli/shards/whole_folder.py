"""Atomic writing of folders: written beside the final path, flushed, renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prism_cli.errors import LockedError
from prism_cli.shards.file_creation import new_attempt
from prism_cli.shards.file_guard import FileGuard, check_folder
from prism_cli.shards.writer import flush_file, leftover_parts, part_path, sync_directory


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Yield a folder to fill, which replaces `final` after the block, or is removed after an error.

    Its files get the read permissions of the folder. The caller holds the lock of `final`;
    leftovers of killed runs are removed. Of a symbolic link the target is replaced.

    Raises:
        LockedError: another run has begun on `final` meanwhile; nothing is published.
        ChangedInputError: another program created or changed `final` meanwhile; likewise.
        StorageError: the parent folder was removed; likewise.
        OSError: the folder cannot be written; `final` is unchanged.
    """
    final = final.resolve()
    old = _beside(final, "old")
    for left in leftover_parts(final.parent).get(final.name, ()):
        _remove_whole(left, final)
    guard = FileGuard([final])
    part = part_path(final, new_attempt())
    part.mkdir(parents=True)
    descriptor = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield part
        check_folder(final)
        _set_permissions(part)
        flush_folder(part)
        if not part.exists() or not os.path.samestat(os.fstat(descriptor), part.stat()):
            raise LockedError(
                f"{final}: another run has begun on this folder while this one worked, which the "
                "lock did not prevent; nothing was published"
            )
        guard.check()
        _remove_whole(old, final)
        if final.exists():
            final.replace(old)
        part.replace(final)
        sync_directory(final.parent)
        _remove_whole(old, final)
    finally:
        os.close(descriptor)
        shutil.rmtree(part, ignore_errors=True)
        settle_folder(final)


def _remove_whole(folder: Path, final: Path) -> None:
    """Remove a folder after renaming it, so that no partly removed one is ever seen."""
    if folder.is_dir():
        away = part_path(final, new_attempt())
        with suppress(OSError):
            folder.replace(away)
        shutil.rmtree(away, ignore_errors=True)


def settle_folder(final: Path) -> None:
    """Restore the name of a folder if a kill between two renames left it under another."""
    final = final.resolve()
    old = _beside(final, "old")
    if old.exists() and not final.exists():
        old.replace(final)


def _beside(final: Path, what: str) -> Path:
    return final.with_name(f".{final.name}.{what}")


def _set_permissions(folder: Path) -> None:
    """Give files the permissions of their folder.

    safetensors writes private files, and a server may run as another user.
    """
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def flush_folder(folder: Path) -> None:
    """Flush `folder` and everything below it to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            flush_file(path)
        else:
            sync_directory(path)
    sync_directory(folder)
