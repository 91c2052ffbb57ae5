"""Lock of an output: a kernel lock on `.OUT.lock`, which ends with the process that holds it.

The file is kept: if it were removed, two runs could hold locks on two files of the same name.
"""

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from prism_cli.errors import LockedError, StorageError
from prism_cli.shards.file_creation import open_private, refuse_dead_link
from prism_cli.shards.state import is_network_file_system

_KERNEL_LOCKS = Path("/proc/locks")
"""The kernel's list of locks and their holders; only Linux has it."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def output_lock(output: Path) -> Iterator[bool]:
    """Lock `output` for the block; yield whether the lock is sure to exclude all other processes.

    It is not on a network file system, and on one without locks, where a warning is printed; the
    attempt that is named in the manifest still decides who publishes.

    Raises:
        LockedError: another process holds the lock; nothing was changed.
        UsageError: the folder is a link to one that does not exist.
        StorageError: the folder cannot be created or written, or the lock's path is a link.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_private(lock_path(output))
    except OSError as error:
        with suppress(OSError):
            refuse_dead_link(output.parent)
        remedy = "Name an output in a folder that can be written with -o"
        if error.errno == errno.EMFILE:
            remedy = "Allow the process more open files (ulimit -n), or name fewer inputs"
        raise StorageError(
            f"{output}: cannot be written: {error.strerror or error}; nothing was done. {remedy}"
        ) from error
    try:
        held = _lock(descriptor, output)
        yield bool(held) and not is_network_file_system(output.parent)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, output: Path) -> bool:
    """Take the lock; return False if the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(
            f"{output}: another run is working on this output; this one stops without touching it"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise StorageError(f"{output}: cannot be locked: {error.strerror}") from error
        _warn_of_no_locks(output.parent)
        return False
    return True


@cache
def _warn_of_no_locks(folder: Path) -> None:
    """Warn, once, about outputs that only heartbeats and manifests protect."""
    print(
        f"prism: warning: {folder} is on a file system without locks; start no second run on it, "
        "but for processes that share it by --join",
        file=sys.stderr,
    )


def lock_path(output: Path) -> Path:
    """.OUT.lock"""
    return output.with_name(f".{output.name}.lock")


def is_locked(output: Path) -> bool:
    """Return whether a process holds the lock of `output`, of whatever PID namespace; tries it."""
    try:
        descriptor = os.open(lock_path(output), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _NO_LOCKS
    finally:
        os.close(descriptor)
    return False


def lock_holder(output: Path, locks: str | None = None) -> int | None:
    """Return the process that holds the lock of `output`; 0 for none, None if the system does not
    tell. Takes no lock.

    Args:
        locks: the text of /proc/locks, for tests; read from there by default.
    """
    try:
        lock = lock_path(output).stat()
    except OSError:
        return 0
    try:
        locks = _KERNEL_LOCKS.read_text() if locks is None else locks
    except OSError:
        return None
    for line in locks.splitlines():  # 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END
        _, kind, *_, process, place, _, _ = line.split()
        same = kind == "FLOCK" and place.rpartition(":")[2] == str(lock.st_ino)
        if same and _has_open(int(process), lock):
            return int(process)
    return 0


def locked_inodes() -> set[int]:
    """Return the inode numbers of the files that processes of this machine have locked, of any file
    system; empty on a system without /proc."""
    try:
        locks = _KERNEL_LOCKS.read_text()
    except OSError:
        return set()
    places = (line.split()[-3] for line in locks.splitlines() if "FLOCK" in line)
    return {int(place.rpartition(":")[2]) for place in places}


def _has_open(process: int, file: os.stat_result) -> bool:
    """Return whether a process has a file open: files of two disks may share an inode number."""
    try:
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if os.path.samestat(link.stat(), file):
                    return True
    except OSError:
        return True  # another user's process: rely on the number
    return False
