"""One run per output: a kernel lock on `.OUT.lock`, gone with the process that held it.

The file itself stays: removing it would let two runs hold locks on two files of one name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def lock_holder(output: Path, locks: str | None = None) -> int:
    """The process that holds `output`, as the kernel lists it; 0 for none. Takes no lock.

    Args:
        locks: the text of /proc/locks, for tests; read from there by default.
    """
    path = lock_path(output)
    try:
        wanted = path.stat()
        if locks is None:
            locks = Path("/proc/locks").read_text()
    except OSError:  # no such lock, or a system that does not tell
        return 0
    for line in locks.splitlines():  # 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END
        _, kind, *_, process, place, _, _ = line.split()
        same = kind == "FLOCK" and place.rpartition(":")[2] == str(wanted.st_ino)
        if same and _has_open(int(process), wanted):
            return int(process)
    return 0


def _has_open(process: int, wanted: os.stat_result) -> bool:
    """Whether it has that file open: an inode's number alone may be that of another disk's file."""
    try:
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if os.path.samestat(link.stat(), wanted):
                    return True
    except OSError:
        return True  # another user's process: the number must do
    return False
