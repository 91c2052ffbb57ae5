"""State directory: the ledger, and the records of runs that write to standard output."""

import os
import stat
import sys
from functools import cache
from pathlib import Path

from prism_cli.errors import StorageError
from prism_cli.files.names import working_folder
from prism_cli.files.urls import StagedPath

PROJECT_FILE = "prism.toml"
LEDGER_NAME = "ledger.sqlite"
_NETWORK_FILE_SYSTEMS = (
    "nfs", "cifs", "smb", "fuse", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "glusterfs",
    "panfs", "wekafs", "dvs", "orangefs", "pvfs2", "gfs2", "ocfs2", "cvfs", "acfs", "scoutfs",
    "virtiofs", "vboxsf", "autofs",
)  # fmt: skip


def project_file(start: Path | None = None) -> Path | None:
    """Return the prism.toml in `start` (default: the working directory) or the nearest parent."""
    here = (start or working_folder()).resolve()
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
    return None


def state_directory(output: Path | None) -> Path:
    """Return $PRISM_STATE, else .prism beside prism.toml, else .prism beside the output, or in the
    working directory if that is standard output or in an object store; create it if it is missing.

    Raises:
        StorageError: the directory cannot be created.
    """
    folder = _state_folder(output)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: the state directory cannot be created: {error}") from error
    _warn_if_shared(folder)
    return folder


@cache
def _warn_if_shared(folder: Path) -> None:
    """Warn, once, about a state directory that other users can write to."""
    if folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        print(
            f"prism: warning: {folder}: others may write to this state directory, and so replace "
            "replies and manifests; close it with chmod go-w, or set PRISM_STATE to one of your "
            "own",
            file=sys.stderr,
        )


def ledger_path(output: Path | None) -> Path:
    """Return the path of the ledger of runs with that output; creates nothing."""
    return _state_folder(output) / LEDGER_NAME


def ledgers_near(path: Path) -> list[Path]:
    """Return the existing ledgers that runs with the output `path`, or with outputs in the folder
    `path`, may have used, the nearest first. A path without a suffix is a folder."""
    ledgers = [near / LEDGER_NAME for near in states_near(path)]
    return [ledger for ledger in ledgers if ledger.is_file()]


def states_near(path: Path) -> list[Path]:
    """Return the state directories that those runs may have used, existing or not."""
    folder = path.parent if path.suffix and not path.is_dir() else path
    project = project_file(folder)
    folders = [folder, folder / ".prism"]
    if project:
        folders.append(project.parent / ".prism")
    return list(dict.fromkeys([*folders, _state_folder(folder / "output")]))


def _state_folder(output: Path | None) -> Path:
    chosen = os.environ.get("PRISM_STATE")
    if chosen:
        return Path(os.path.expanduser(chosen))  # also of a user who is unknown here
    project = project_file()
    if project:
        return project.parent / ".prism"
    beside = output and not isinstance(output, StagedPath)  # an object in a store
    return (output.parent if output and beside else working_folder()) / ".prism"


@cache
def _mounts() -> str:
    """Return the file systems of this process, as they were when they were last read."""
    try:
        return Path("/proc/mounts").read_text()
    except OSError:
        return ""


def is_network_file_system(path: Path, mounts: str | None = None) -> bool:
    """Return whether `path` is on a network file system.

    Args:
        path: an existing path.
        mounts: the text of /proc/mounts, for tests; read from there by default.
    """
    kind = _file_system(path, _mounts() if mounts is None else mounts)
    if kind == "autofs" and mounts is None:  # mounted since, by its first use
        _mounts.cache_clear()
        kind = _file_system(path, _mounts())
    return kind.startswith(_NETWORK_FILE_SYSTEMS)


def _file_system(path: Path, mounts: str) -> str:
    best, kind = "", ""
    target = str(path.resolve())
    for line in mounts.splitlines():
        _, point, file_system, *_ = line.split(" ")
        prefix = point.replace("\\040", " ").rstrip("/") + "/"
        if (target + "/").startswith(prefix) and len(prefix) >= len(best):
            best, kind = prefix, file_system  # of several at one point, the last is used
    return kind
