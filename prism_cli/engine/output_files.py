"""Output files of one job while they are written, and the order in which they are published."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from prism_cli.engine.crash import crash_point
from prism_cli.engine.heartbeat import heartbeat_path, refuse_claimed
from prism_cli.engine.jobs import Job
from prism_cli.engine.sinks import Sinks
from prism_cli.errors import LockedError
from prism_cli.shards.file_guard import check_folder
from prism_cli.shards.lock import output_lock
from prism_cli.shards.writer import (
    OutputRecord,
    PartFile,
    leftover_parts,
    remove_file,
    remove_parts,
)
from prism_cli.terminal import naming_stdout

_LISTING_SHARE = 50
"""Time between two listings of a folder, as a multiple of the time that one takes."""
SIDE_KINDS = ("rejects", "pending")


class OutputFiles:
    """Part files of a job; unpublished ones are deleted when `stack` closes.

    Args:
        attempt: part of the files' names.
    """

    def __init__(self, job: Job, attempt: str, stack: ExitStack) -> None:
        self._main: dict[str, PartFile] = {}
        self._outputs = job.outputs or {}
        for name, path in self._outputs.items():
            self._main[name] = PartFile(path, attempt=attempt, follow=True)
            stack.callback(self._main[name].discard)
        self._stdout: BinaryIO | None = sys.stdout.buffer if job.outputs is None else None
        self._side = {
            kind: SideFile(side_path(job.record_path, kind), attempt) for kind in SIDE_KINDS
        }
        for side in self._side.values():
            stack.callback(side.discard)

    def sinks(self) -> Sinks:
        """Return the functions that write results."""
        named = {name: part.write for name, part in self._main.items()}
        return Sinks(
            row=self._to_stdout if self._stdout else named.get("", _refused),
            routed=named,
            rejected=self._side["rejects"].write,
            pending=self._side["pending"].write,
        )

    def _to_stdout(self, data: bytes) -> None:
        assert self._stdout is not None
        with naming_stdout():
            self._stdout.write(data)

    def finish(self) -> None:
        """Sync all parts to disk; nothing is published yet."""
        if self._stdout:
            with naming_stdout():
                self._stdout.flush()
        for part in self._main.values():
            if part.record is None:
                part.finish()
        for side in self._side.values():
            side.finish()

    @property
    def paths(self) -> list[Path]:
        """The outputs; after `finish`, all of them."""
        return list(self._outputs.values())

    @property
    def records(self) -> dict[str, OutputRecord]:
        """Records of the files to be published, except side files, by file name. After `finish`."""
        return {
            self._outputs[name].name: part.record
            for name, part in self._main.items()
            if part.record is not None
        }

    def publish(self) -> list[Path]:
        """Rename all parts to their final names, side files first; return the side files that now
        exist.

        Raises:
            LockedError: another run has taken over the output.
        """
        crash_point("before-publish")
        for side in self._side.values():
            side.publish()
            crash_point("between-side-and-main")
        for part in self._main.values():
            part.publish()
            crash_point("after-publish-before-manifest")
        return [side.path for side in self._side.values() if side.used]


class Leftovers:
    """Part files of killed attempts. A folder is listed again now and then, since other processes
    may be killed meanwhile, but in little of the time."""

    def __init__(self) -> None:
        self._by_folder: dict[Path, dict[str, list[Path]]] = {}
        self._list_again: dict[Path, float] = {}

    def remove(self, job: Job) -> None:
        """Remove those of the job's files. The caller holds its lock."""
        for path in _written(job):
            if (began := time.monotonic()) >= self._list_again.get(path.parent, 0.0):
                self._by_folder[path.parent] = leftover_parts(path.parent)
                took = time.monotonic() - began
                self._list_again[path.parent] = began + _LISTING_SHARE * took
            remove_parts(self._by_folder[path.parent].pop(path.name, ()))


def remove_leftovers(jobs: Sequence[Job]) -> None:
    """Remove the part files of killed attempts of jobs on which no process works. Called after
    them: an attempt may be killed after another has begun or finished its shard."""
    listed = cache(leftover_parts)
    for job in jobs:
        written = _written(job) if listed(job.record_path.parent) else ()
        parts = [part for path in written for part in listed(path.parent).get(path.name, ())]
        if parts:
            with suppress(LockedError), output_lock(job.record_path):
                refuse_claimed(job.record_path)
                remove_parts(parts)


def _written(job: Job) -> list[Path]:
    """Return the files that an attempt of the job writes."""
    outputs = [path.resolve() for path in (job.outputs or {}).values()]
    sides = [side_path(job.record_path, kind) for kind in SIDE_KINDS]
    return [*outputs, *sides, job.manifest_path, heartbeat_path(job.record_path)]


class SideFile:
    """Rejects or pending rows: a file that exists only if there are any."""

    def __init__(self, path: Path, attempt: str = "") -> None:
        self.path = path
        self._attempt = attempt
        self._part: PartFile | None = None

    @property
    def used(self) -> bool:
        return self._part is not None

    def write(self, data: bytes) -> None:
        if self._part is None:
            check_folder(self.path)
            self._part = PartFile(self.path, attempt=self._attempt)
        self._part.write(data)

    def finish(self) -> None:
        if self._part is not None:
            self._part.finish()

    def publish(self) -> None:
        if self._part is None:
            remove_file(self.path)
        else:
            self._part.publish()

    def discard(self) -> None:
        if self._part is not None:
            self._part.discard()


def side_path(record_path: Path, kind: str) -> Path:
    """Return OUT.rejects.jsonl or OUT.pending.jsonl."""
    return record_path.with_name(f"{record_path.name}.{kind}.jsonl")


def _refused(_data: bytes) -> None:
    raise TypeError("a stage with named outputs returned a plain row")
