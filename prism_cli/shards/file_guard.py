"""Protection of files that others create or edit while a run works: they are not replaced."""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from prism_cli.errors import ChangedInputError, StorageError
from prism_cli.shards.file_digest import digest_file

State = tuple[tuple[str, int, int, int], ...]
"""Name, inode, bytes and last change (nanoseconds since the epoch) of a file, or of each file of a
folder; those of the link itself if it is broken; () if nothing exists."""

ADVICE = "Run the same command with --overwrite to replace it, or with another -o"
LEDGER_ADVICE = f"{ADVICE}; replies that are in the ledger are used again"


@dataclass
class FileGuard:
    """State of files when the guard was created.

    Attributes:
        before: state by path; of a symbolic link's target, as that is what is replaced.
    """

    paths: Iterable[Path]
    before: dict[Path, State] = field(init=False)

    def __post_init__(self) -> None:
        self.before = {path: file_state(path) for path in self.paths}

    def check(
        self, advice: str = ADVICE, equal: Mapping[str, tuple[int, str]] | None = None
    ) -> None:
        """Make sure that the files are unchanged.

        Args:
            advice: the end of the message: what to do.
            equal: bytes and SHA-256, by name, of files that may have appeared: another process that
                shares the run made them where locks do not hold.

        Raises:
            ChangedInputError: another process created or edited one of them.
            StorageError: a folder was removed.
        """
        for path, before in self.before.items():
            check_folder(path)
            now = file_state(path)
            if now and now != before and not _is(path, (equal or {}).get(path.name)):
                # a removed file loses nothing when another takes its place
                what = "was edited or replaced" if before else "appeared"
                raise ChangedInputError(
                    f"{path}: {what} while this run worked; it was left as it is, and nothing was "
                    f"published. {advice}",
                    reasons=[f"{path.name} {what} while this run worked"],
                )


def _is(path: Path, content: tuple[int, str] | None) -> bool:
    """Return whether a file has that many bytes and that SHA-256."""
    if content is None or path.is_symlink() or not path.is_file():
        return False
    return path.stat().st_size == content[0] and digest_file(path).sha256 == content[1]


def file_state(path: Path) -> State:
    """Return the state of a path now; a symbolic link has that of its target."""
    with suppress(OSError):
        now = os.stat(path)
        if not stat.S_ISDIR(now.st_mode):
            return ((".", now.st_ino, now.st_size, now.st_mtime_ns),)
    members = sorted(path.rglob("*")) if path.is_dir() else []
    states = []
    for member in (path, *members):
        with suppress(OSError):
            now = member.stat() if member.exists() else member.lstat()
            size, changed = (0, 0) if member.is_dir() else (now.st_size, now.st_mtime_ns)
            states.append((str(member.relative_to(path)), now.st_ino, size, changed))
    return tuple(states)


def check_folder(path: Path) -> None:
    """Raise StorageError if the folder of `path` is gone."""
    if not path.parent.is_dir():
        raise StorageError(
            f"{path}: the folder was removed or renamed while this run worked, so nothing was "
            "published. Run the same command again: it creates the folder"
        )
