"""How files are made: exclusively, and never through a symbolic link that somebody put there."""

import errno
import os
import secrets
import stat
from pathlib import Path

from prism_cli.errors import StorageError


def new_attempt() -> str:
    """A name for one attempt at an output, which no other attempt has."""
    return secrets.token_hex(6)


def create_file(path: Path, *, private: bool = False) -> int:
    """A descriptor for writing to a new file: 0600 whatever the umask where `private`, else as
    the umask has it.

    Raises:
        OSError: something is there already, also a link; or it cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600 if private else 0o666)
    if private:
        os.fchmod(descriptor, 0o600)
    return descriptor


def make_private(path: Path) -> None:
    """See that there is a regular file; a new one is 0600. One that is there is not opened: to
    close it again would give up the locks that this process holds on it elsewhere.

    Raises:
        StorageError: a symbolic link, or no regular file, is at its place.
        OSError: it cannot be made.
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
    """A descriptor for reading and writing to a regular file; a new one is 0600.

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
    """Make sure that no symbolic link is at `path`.

    Raises:
        StorageError: there is one.
    """
    if path.is_symlink():
        raise _link_refusal(path)


def _link_refusal(path: Path) -> StorageError:
    return StorageError(
        f"{path}: is a symbolic link, which is not followed, as anybody may have put it there; "
        "nothing was written. Remove it, or set PRISM_STATE to the folder that it leads to"
    )
