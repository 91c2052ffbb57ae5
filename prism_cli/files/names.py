"""Names of files in messages, rows, manifests and patterns."""

import errno
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path, PosixPath

from prism_cli.errors import MissingDataError, UsageError
from prism_cli.files.compressed import plain_or_compressed
from prism_cli.files.urls import StagedFolder, StagedPath, is_url
from prism_cli.wording import most_similar

_MARKS = "*?["
_LISTED_FROM = 256
"""Number of names of one folder from which one list is faster than a look at each."""


class FolderPath(PosixPath):
    """A path typed with a trailing slash: that of a folder, existing or new.

    A path joined to it is a plain one: `pathlib` would give it this class too.
    """

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:  # type: ignore[override]
        return Path(self) / name


class RealPaths:
    """Resolves paths as `Path.resolve` does, but each folder only once, for many files of few
    folders; the links of a folder are listed when enough of its names were asked for."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self._asked = Counter[str]()
        self._links: dict[str, set[str]] = {}

    def of(self, path: str | Path) -> str:
        """Return the resolved path.

        Raises:
            UsageError: its links form a loop.
        """
        folder, name = os.path.split(path)
        if name in ("", ".", "..") or self._is_link(folder, name):
            return _resolved(path)
        if folder not in self._folders:
            self._folders[folder] = _resolved(folder)
        return f"{self._folders[folder].rstrip(os.sep)}{os.sep}{name}"

    def _is_link(self, folder: str, name: str) -> bool:
        if (links := self._links.get(folder)) is not None:
            return name in links
        self._asked[folder] += 1
        if self._asked[folder] > _LISTED_FROM:
            with suppress(OSError), os.scandir(folder or os.curdir) as entries:
                self._links[folder] = {entry.name for entry in entries if entry.is_symlink()}
        return os.path.islink(os.path.join(folder, name))


def _resolved(path: str | Path) -> str:
    _refuse_link_loop(path)
    return str(Path(path).resolve())


def _refuse_link_loop(path: str | Path) -> None:
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(
                f"{path}: its symbolic links form a loop; nothing was done. Remove them, or name "
                "another path"
            ) from None


def working_folder() -> Path:
    """Return the working folder.

    Raises:
        MissingDataError: it was deleted.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise MissingDataError(
            "the working folder was deleted; change to one that exists"
        ) from None


def typed_path(name: str) -> Path:
    """Return the path of a command-line argument; of a folder without a name of its own (., .. and
    paths that end so) the absolute path, because locks and other files are named after it.

    Raises:
        MissingDataError: as `working_folder`.
        UsageError: the root folder, or a path whose links form a loop.
    """
    path = FolderPath(name) if name.endswith(os.sep) else Path(name)
    _refuse_link_loop(name)
    if path.name in ("", ".."):
        path = (working_folder() / path).resolve()
        if not path.name:
            raise UsageError(f"{name}: is the root folder; name another path. Nothing was done")
    return path


def without_slash(path: Path) -> Path:
    """Return a path as if it was typed without a trailing slash."""
    return StagedPath(path) if isinstance(path, StagedPath) else Path(path)


def is_folder(path: Path) -> bool:
    """Return whether a path is an existing folder, or was typed with a trailing slash.

    False if the name is too long for the file system.
    """
    return isinstance(path, FolderPath | StagedFolder) or os.path.isdir(path)


def beir_corpus(folder: Path) -> Path | None:
    """Return the corpus file of a BEIR folder; None for another folder."""
    return plain_or_compressed(folder / "corpus.jsonl")


def shown_name(path: Path) -> str:
    """Return the path as text; bytes that are not UTF-8 become escapes such as \\xff."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def has_utf8_name(path: Path) -> bool:
    """Return whether the path can be stored in a row or manifest, which are UTF-8."""
    return shown_name(path) == str(path)


def is_pattern(name: str) -> bool:
    """Return whether the name is a pattern that may match several files."""
    return any(mark in name for mark in _MARKS)


def split_pattern(pattern: str) -> tuple[Path, str]:
    """Return the leading folders of a pattern that exist literally, so that one named `a[1]` is
    itself, and the remaining pattern."""
    path = Path(pattern)
    base, parts = Path(path.anchor), list(path.relative_to(path.anchor).parts)
    while len(parts) > 1 and (base / parts[0]).is_dir():
        base /= parts.pop(0)
    return base, str(Path(*parts))


def missing_path_message(name: str) -> str:
    """Return the message for a missing path: a dead link, its first missing directory, or a similar
    name."""
    if is_url(name):
        return f"{name}: is in an object store, and this is read from local files; download it"
    path = Path(name)
    if os.path.islink(path):
        target = shown_name(Path(os.readlink(path)))
        return f"{name}: is a symbolic link to {target}, which does not exist or leads back to it"
    missing = next((parent for parent in reversed(path.parents) if not os.path.isdir(parent)), None)
    if missing is not None:
        return f"{name}: no such file or directory; there is no directory {missing}"
    try:
        names = [shown_name(Path(entry)) for entry in os.listdir(path.parent)]
    except OSError:
        names = []
    near = most_similar(path.name, names)
    hint = f"; did you mean {path.with_name(near)}?" if near else ""
    return f"{name}: no such file or directory{hint}"
