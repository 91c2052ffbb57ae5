"""One run per output: a kernel lock on `.OUT.lock`, gone with the process that held it.

The file itself stays: removing it would let two runs hold locks on two files of one name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from prism_cli.errors import LockedError, StorageError


@contextmanager
def output_lock(output: Path) -> Iterator[None]:
    """Hold `output` for the block.

    Raises:
        LockedError: another process holds it; nothing was touched.
        StorageError: its folder cannot be made or written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path(output))
        lock.acquire(blocking=False)
    except Timeout:
        raise LockedError(
            f"{output}: another run is working on this output; this one stops without touching it"
        ) from None
    except OSError as error:
        raise StorageError(
            f"{output}: cannot be written: {error.strerror or error}; nothing was done. Name an "
            "output in a folder that can be written with -o"
        ) from error
    try:
        yield
    finally:
        lock.release()


def lock_path(output: Path) -> Path:
    """.OUT.lock"""
    return output.with_name(f".{output.name}.lock")


def lock_holder(output: Path, locks: str | None = None) -> int | None:
    """The process of this machine that holds `output`; 0 where nobody does. Takes no lock.

    Args:
        locks: the text of /proc/locks, for tests; read from there by default.

    Returns:
        None where this system does not tell.
    """
    try:
        if locks is None:
            locks = Path("/proc/locks").read_text()
        inode = lock_path(output).stat().st_ino
    except FileNotFoundError:
        return None if locks is None else 0
    except OSError:
        return None
    for line in locks.splitlines():  # 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END
        _, kind, *_, process, place, _, _ = line.split()
        if kind == "FLOCK" and place.rpartition(":")[2] == str(inode):
            if _has_open(int(process), lock_path(output)):
                return int(process)
    return 0


def _has_open(process: int, path: Path) -> bool:
    """Whether it has the file open: an inode's number alone is one of many file systems."""
    folder = Path(f"/proc/{process}/fd")
    try:
        wanted = path.stat()
        for link in folder.iterdir():
            try:
                if os.path.samestat(link.stat(), wanted):
                    return True
            except OSError:
                continue
    except OSError:
        return True  # another user's process: the number must do
    return False
