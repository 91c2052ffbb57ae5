"""Names of files: as messages, rows and manifests hold them, and as patterns match them."""

import difflib
import os
from pathlib import Path, PosixPath

_MARKS = "*?["


class FolderPath(PosixPath):
    """A path that was typed with a slash at its end: that of a folder, also of one to be made."""


def typed_path(given: str) -> Path:
    """Return the path that somebody typed."""
    return FolderPath(given) if given.endswith(os.sep) else Path(given)


def shown_name(path: Path) -> str:
    """Return the path as text; bytes that are not UTF-8 as escapes such as \\xff."""
    return str(path).encode(errors="surrogateescape").decode(errors="backslashreplace")


def has_utf8_name(path: Path) -> bool:
    """Return whether the path can stand in a row or manifest, which are UTF-8."""
    return shown_name(path) == str(path)


def is_pattern(given: str) -> bool:
    """Return whether files may be matched by the name."""
    return any(mark in given for mark in _MARKS)


def split_pattern(given: str) -> tuple[Path, str]:
    """Return the folders at the beginning of a pattern that are there under just these names, so
    that one called `a[1]` is itself, and the pattern within."""
    path = Path(given)
    base, parts = Path(path.anchor), list(path.relative_to(path.anchor).parts)
    while len(parts) > 1 and (base / parts[0]).is_dir():
        base /= parts.pop(0)
    return base, str(Path(*parts))


def not_there(given: str) -> str:
    """Return what to say of a path that does not exist: how far it is there, and what is near."""
    path = Path(given)
    missing = next((one for one in reversed(path.parents) if not os.path.isdir(one)), None)
    if missing is not None:
        return f"{given}: no such file or directory; there is no directory {missing}"
    try:
        names = [shown_name(Path(one)) for one in os.listdir(path.parent)]
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"; did you mean {path.with_name(near[0])}?" if near else ""
    return f"{given}: no such file or directory{hint}"
