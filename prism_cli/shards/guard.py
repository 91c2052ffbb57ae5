"""What stands where a run publishes its files: it replaces nothing that it did not find there."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from prism_cli.errors import ChangedInputError, StorageError

State = tuple[tuple[str, int, int, int], ...]
"""Name, inode, bytes and last change (nanoseconds since the epoch) of a file, or of the files of a
folder; of a link that leads nowhere its own; () where nothing is."""

ADVICE = "Run the same command with --overwrite to replace it, or with another -o"
LEDGER_ADVICE = f"{ADVICE}; replies that are in the ledger are used again"


@dataclass
class FileGuard:
    """What stood at some paths when the guard was made.

    Attributes:
        found: by path; what a symbolic link leads to, as that is what is replaced.
    """

    paths: Iterable[Path]
    found: dict[Path, State] = field(init=False)

    def __post_init__(self) -> None:
        self.found = {path: file_state(path) for path in self.paths}

    def check(self, advice: str = ADVICE) -> None:
        """Make sure that all is as it was.

        Args:
            advice: what to do about it.

        Raises:
            ChangedInputError: somebody else made, edited or removed one of them meanwhile.
            StorageError: a folder is gone.
        """
        for path, before in self.found.items():
            check_folder(path)
            now = file_state(path)
            if now and now != before:  # what is gone is not lost by what takes its place
                what = "was edited or replaced" if before else "appeared"
                raise ChangedInputError(
                    f"{path}: {what} while this run worked; it was left as it is, and nothing was "
                    f"published. {advice}",
                    reasons=[f"{path.name} {what} while this run worked"],
                )


def file_state(path: Path) -> State:
    """What stands there now; a symbolic link counts as what it leads to."""
    found = sorted(path.rglob("*")) if path.is_dir() else []
    states = []
    for one in (path, *found):
        with suppress(OSError):
            now = one.stat() if one.exists() else one.lstat()
            size, changed = (0, 0) if one.is_dir() else (now.st_size, now.st_mtime_ns)
            states.append((str(one.relative_to(path)), now.st_ino, size, changed))
    return tuple(states)


def check_folder(path: Path) -> None:
    """Make sure that the folder of `path` is there still.

    Raises:
        StorageError: it is not.
    """
    if not path.parent.is_dir():
        raise StorageError(
            f"{path}: the folder was removed or renamed while this run worked, so nothing was "
            "published. Run the same command again: it creates the folder"
        )
