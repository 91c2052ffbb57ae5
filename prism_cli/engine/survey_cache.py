"""Cached parts of surveys in the state directory: one file for each input and setting."""

import os
import time
from contextlib import suppress
from pathlib import Path

from prism_cli.shards.writer import remove_parts

STATE_BYTES = 32
"""Bytes of a digest of the input's state, with which a file begins; its path follows."""
KEPT_SECONDS = 7 * 24 * 3600.0
"""Time without use after which a file is removed."""
KEPT_BYTES = 10 << 30
"""Size above which the longest unused files are removed."""
IN_USE_SECONDS = 24 * 3600.0
"""Time after its last use for which a file may be in the use of another run."""
SWEEP_SECONDS = 3600.0
"""Shortest time between two sweeps."""
_NUMBER = 8
_LONGEST_PATH = 4096
_SWEPT = ".swept"


def packed(number: int) -> bytes:
    """Return a size as it stands in a file."""
    return number.to_bytes(_NUMBER)


def header(state: bytes, path: str) -> bytes:
    """Return the beginning of a file.

    Args:
        path: of the input; "" for one that is not a local file.
    """
    name = os.fsencode(path)
    return state + packed(len(name)) + name


def is_current(path: Path, expected: bytes) -> bool:
    """Return whether a file begins with a header; note that it is used."""
    try:
        with path.open("rb") as file:
            same = file.read(len(expected)) == expected
    except FileNotFoundError:
        return False
    if same:
        with suppress(OSError):  # another user's file
            os.utime(path)
    return same


def sweep(folder: Path) -> None:
    """Remove what is of no use, at most once an hour: the parts of inputs that are gone, what was
    not used for a week, and of more than 10 GiB the longest unused, but for the last day's."""
    now, mark = time.time(), folder / _SWEPT
    with suppress(OSError):
        if now - mark.stat().st_mtime < SWEEP_SECONDS:
            return
    kept: list[tuple[float, int, str]] = []
    try:
        mark.touch()
        with os.scandir(folder) as entries:
            for entry in entries:
                state, path = entry.stat(), Path(entry.path)
                age = now - state.st_mtime
                if entry.name.startswith("."):
                    if entry.name != _SWEPT and age > IN_USE_SECONDS:
                        remove_parts([path])  # of a killed run
                elif age > KEPT_SECONDS or _input_is_gone(path):
                    remove_parts([path])
                else:
                    kept.append((age, state.st_size, entry.path))
    except OSError:
        return  # no survey was cached, or another process sweeps
    over = sum(size for _, size, _ in kept) - KEPT_BYTES
    for age, size, name in sorted(kept, reverse=True):
        if over <= 0 or age < IN_USE_SECONDS:
            break
        remove_parts([Path(name)])
        over -= size


def _input_is_gone(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(STATE_BYTES)
        size = int.from_bytes(file.read(_NUMBER))
        if not 0 < size <= _LONGEST_PATH:
            return False
        name = file.read(size)
    return os.path.isabs(name) and not os.path.lexists(name)
