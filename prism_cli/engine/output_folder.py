"""Outputs in a folder, found by the names of manifests, locks and the run's board."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prism_cli.engine.heartbeat import is_alive
from prism_cli.engine.run_board import read_board
from prism_cli.shards.file_age import STALE_SECONDS
from prism_cli.shards.lock import locked_inodes
from prism_cli.shards.manifest import MANIFEST_SUFFIX
from prism_cli.shards.timestamps import now_ms

RUN_MANIFEST = "manifest.json"
"""File that makes a directory a training run."""
_BEATS = ".progress.json"
_LOCK = ".lock"


@dataclass
class OutputFolder:
    """Listing of a folder, read once: with many outputs a look at each file would be slow.

    Attributes:
        names: of all files.
        folders: names of the folders within.
        locked: names of outputs whose lock a process of this machine may hold.
        board: of the run over these outputs; {} if there is none.
        planned: names of the outputs of that run.
        workers: (name of the worker, what the board knows of it) by name of the output.
    """

    path: Path
    names: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    board: dict[str, Any] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)
    workers: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inodes = locked_inodes()
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    self.names.add(entry.name)
                    if entry.name.startswith(".") and entry.name.endswith(_LOCK):
                        if entry.inode() in inodes:
                            self.locked.add(entry.name[1 : -len(_LOCK)])
                    elif entry.is_dir():
                        self.folders.add(entry.name)
        except FileNotFoundError:
            return
        self.board = read_board(self.path) or {}
        self.planned = {name for name in self.board.get("shards", ()) if os.sep not in name}
        for name, worker in self.board.get("workers", {}).items():
            if isinstance(worker.get("shard"), str):
                self.workers[worker["shard"]] = (name, worker)

    def outputs(self) -> Iterator[str]:
        """Yield the names of what may be outputs, in order."""
        found = set(self.folders)
        found |= self.planned
        for name in self.names:
            if name.endswith(MANIFEST_SUFFIX):
                found.add(name.removesuffix(MANIFEST_SUFFIX))
            elif name.startswith(".") and name.endswith(_LOCK):
                found.add(name[1 : -len(_LOCK)])
        found.discard("")
        yield from sorted(found)

    def has_manifest(self, name: str) -> bool:
        """Return whether there is a file or folder that may hold the manifest of an output."""
        return f"{name}{MANIFEST_SUFFIX}" in self.names or name in self.folders

    def has_begun(self, name: str) -> bool:
        """Return whether there is a lock and no output yet: other programs lock existing folders
        too."""
        return f".{name}{_LOCK}" in self.names and name not in self.names

    def has_heartbeat(self, name: str) -> bool:
        """Return whether a run left a heartbeat for the output."""
        return f".{name}{_BEATS}" in self.names

    @property
    def driver_lives(self) -> bool:
        """Return whether a cluster's driver renewed the board recently, and has not ended on this
        machine, so that `workers` says who works now."""
        return any(
            process["engine"] == "ray"
            and abs(now_ms() - process["updated_ms"]) <= STALE_SECONDS * 1000
            and (process["host"] != platform.node() or is_alive(process["pid"]))
            for process in (self.board.get("processes") or {"": self.board}).values()
            if process
        )
