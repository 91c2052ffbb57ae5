"""Creation of files: exclusive, and never through a symbolic link."""

import errno
import os
import secrets
import stat
from pathlib import Path

from prism_cli.errors import StorageError, UsageError


def new_attempt() -> str:
    """Return a unique name for one attempt at an output."""
    return secrets.token_hex(6)


def create_file(path: Path, *, private: bool = False) -> int:
    """Create a file and return a descriptor for writing.

    Args:
        private: the mode is 0600, whatever the umask; else it follows the umask.

    Raises:
        OSError: the path exists, also as a link, or the file cannot be created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600 if private else 0o666)
    if private:
        os.fchmod(descriptor, 0o600)
    return descriptor


def make_private(path: Path) -> None:
    """Make sure that `path` is a regular file; create it with mode 0600 if it is missing.

    An existing file is not opened: closing it would release the locks that this process holds on
    it elsewhere.

    Raises:
        StorageError: the path is a symbolic link or not a regular file.
        OSError: the file cannot be created.
    """
    try:
        os.close(create_file(path, private=True))
    except FileExistsError:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise _link_refusal(path) from None
        if not stat.S_ISREG(mode):
            raise StorageError(
                f"{path}: is not a regular file; nothing was written. Remove it"
            ) from None


def open_private(path: Path) -> int:
    """Open a regular file for reading and writing, as `make_private` creates it.

    Raises: as `make_private`.
    """
    make_private(path)
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link_refusal(path) from error
        raise


def refuse_link(path: Path) -> None:
    """Raise StorageError if `path` is a symbolic link."""
    if path.is_symlink():
        raise _link_refusal(path)


def refuse_dead_link(folder: Path) -> None:
    """Raise UsageError if a folder, or one above it, is a link to a folder that does not exist."""
    for link in (folder, *folder.parents):
        if link.is_symlink() and not link.exists():
            raise UsageError(
                f"{link}: is a link to a folder that does not exist, {os.readlink(link)}; nothing "
                "was done. Create that folder, or name another output with -o"
            )


def _link_refusal(path: Path) -> StorageError:
    return StorageError(
        f"{path}: is a symbolic link, which is not followed, as another user may have created it; "
        "nothing was written. Remove it, or set PRISM_STATE to the folder that it leads to"
    )
