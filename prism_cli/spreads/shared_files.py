"""Check that a node sees the files of the command, and not others under the same paths."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.run_board import BOARD_NAME
from prism_cli.errors import MissingDataError
from prism_cli.files.urls import StagedPath
from prism_cli.shards.shard import Shard

_FIRST_BYTES = 65_536
_LOOKS, _LOOK_SECONDS = 10, 1.0
"""A file that another machine has just made may be seen late on a network file system."""


@dataclass(frozen=True)
class SharedFiles:
    """Files by which a node recognises the folders of a run; paths as the command has them.

    Attributes:
        shard: the first input file; None if inputs are no local files.
        sha256: of its first 64 KB.
        folder: of the outputs, where the run's board is; None if they are objects in a store.
    """

    shard: Shard | None = None
    sha256: str = ""
    folder: Path | None = None

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> "SharedFiles":
        """Return those of a run whose board has been written."""
        first = next((shard for job in jobs for shard in job.inputs), None)
        shard = first if isinstance(first, Shard) and _is_local_file(first.path) else None
        record = jobs[0].record_path
        on_disk = not isinstance(record, StagedPath) and (record.parent / BOARD_NAME).is_file()
        sha256 = shard.digest(_FIRST_BYTES).sha256 if shard else ""
        return cls(shard, sha256, record.parent if on_disk else None)

    def check(self) -> None:
        """Raise MissingDataError if this machine lacks the files, or has others in their place."""
        if self.shard and not self.shard.path.is_file():
            raise MissingDataError(f"{self.shard.name}: is not there; {_NEEDED}")
        if self.shard and self.shard.digest(_FIRST_BYTES).sha256 != self.sha256:
            raise MissingDataError(
                f"{self.shard.name}: is another file than where the command runs; {_NEEDED}"
            )
        if self.folder and not _has_board(self.folder):
            raise MissingDataError(
                f"{self.folder}: is another folder than where the command runs: the run's "
                f"{BOARD_NAME} is not in it; {_NEEDED}"
            )


_NEEDED = (
    "every node needs the folders of inputs and outputs under the same path, on a shared file "
    "system"
)


def _is_local_file(path: Path) -> bool:
    return not isinstance(path, StagedPath) and path.is_file()


def _has_board(folder: Path) -> bool:
    for look in range(_LOOKS):
        time.sleep(_LOOK_SECONDS if look else 0)
        with suppress(OSError):
            if BOARD_NAME in os.listdir(folder):
                return True
    return False
