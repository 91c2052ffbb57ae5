"""The manifest of one job through its life: does the output stand, begun, stopped, finished."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from prism_cli.engine.counts import Counts
from prism_cli.engine.jobs import Input, Job
from prism_cli.engine.live import take_killed_seconds
from prism_cli.engine.parts import SIDE_KINDS, side_path
from prism_cli.engine.shard import WINDOW_BYTES, WINDOW_ROWS
from prism_cli.errors import ChangedInputError, LockedError, MissingDataError, StorageError
from prism_cli.shards.guard import FileGuard
from prism_cli.shards.manifest import (
    InputRecord,
    Manifest,
    is_finished,
    read_manifest,
    standing,
    unread_record,
)
from prism_cli.shards.measured import Measured, measure
from prism_cli.shards.reader import Shard
from prism_cli.shards.writer import OutputRecord


@dataclass
class Papers:
    """What is written about one job.

    Attributes:
        config: all that decides the rows besides the inputs.
        dependencies: other files that decide them.
        also: other files that are published with the outputs.
        plan: the stage's part of the batch plan, set before `begin`; an unfinished attempt's is
            used again.
    """

    job: Job
    stage: str
    config: Mapping[str, Any]
    dependencies: Sequence[Path] = ()
    also: Sequence[Path] = ()
    plan: Mapping[str, int] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0

    def __post_init__(self) -> None:
        self.guard = FileGuard([*self._outputs, *self.also, *self._sides])

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """Each file among the inputs, by name, as it is now.

        Raises:
            MissingDataError: one cannot be read.
        """
        files = [one for one in self.job.inputs if isinstance(one, Shard)]
        return {one.name: _measured(one) for one in files}

    @cached_property
    def manifest(self) -> Manifest:
        """What will be written when all goes well."""
        return Manifest(
            self.stage,
            dict(self.config),
            [self._record(one) for one in self.job.inputs],
            [_dependency(path) for path in self.dependencies],
            batch_plan={"window_rows": WINDOW_ROWS, "window_bytes": WINDOW_BYTES},
        )

    @property
    def output_id(self) -> str:
        """Names this output and config in the ledger."""
        return output_id(self.job.papers, self.manifest.config_fingerprint)

    def count_lines(self, limit: int | None = None) -> int | None:
        """Lines of all inputs, about, at most `limit`; None where that would mean reading them."""
        files = [one for one in self.job.inputs if isinstance(one, Shard)]
        if len(files) < len(self.job.inputs) or any(
            one.packed or one.format != "lines" for one in files
        ):
            return None
        lines = sum(self.measured[one.name].line_ends for one in files)
        return lines if limit is None else min(lines, limit)

    def finished(self) -> dict[str, Any] | None:
        """The manifest of the outputs, where they stand as this job would make them.

        Raises:
            ChangedInputError: they exist, and something else made them.
        """
        outputs = self._outputs
        there = [out for out in outputs if out.exists()]
        previous = read_manifest(self.job.manifest_path)
        if outputs and previous is None:
            # A link is no file of somebody's; it is replaced, not followed.
            there += [one for one in self._sides if one.is_file() and not one.is_symlink()]
        if not there:
            return None
        done = [is_finished(out, previous, self.manifest, self._prefix_sha256) for out in there]
        return previous if all(done) and len(done) == len(outputs) else None

    def begin(
        self, fresh: Callable[[], int] | None = None, retry: Callable[[], int] | None = None
    ) -> None:
        """Write the manifest, unfinished; go on counting where an earlier attempt stopped.

        Args:
            fresh: takes a number of the ledger's order; with it, replies from before the first
                attempt are not used.
            retry: likewise for final refusals alone.
        """
        now, previous = self.manifest, read_manifest(self.job.manifest_path)
        now.batch_plan |= self.plan
        killed = take_killed_seconds(self.job.papers)
        if previous and previous["config_fingerprint"] == now.config_fingerprint:
            now.attempts = previous["attempts"] + 1
            self._seconds_before = previous["seconds"] + killed
            now.seconds = round(self._seconds_before, 3)
            now.usage = previous["usage"]
            if not previous["finished"]:
                now.fresh_since = previous["fresh_since"]
                now.refused_since = previous["refused_since"]
                before = previous["batch_plan"]
                now.batch_plan |= {
                    name: before.get(name, now.batch_plan[name]) for name in self.plan
                }
        for out in self._outputs:
            if not self.guard.found[out]:
                now.absent.append(out.name)
            elif out.is_file():
                known = standing(out, previous) if previous else None
                now.replaces[out.name] = known or unread_record(out)
        now.fresh_since = _mark(now.fresh_since, fresh)
        now.refused_since = _mark(now.refused_since, retry)
        now.write(self.job.manifest_path)

    def account(
        self, counts: Counts, usage: Mapping[str, float], figures: Mapping[str, Any]
    ) -> None:
        """Put in what the pass came to."""
        now = self.manifest
        now.counts, now.usage, now.figures = counts.as_dict(), dict(usage), dict(figures)
        now.seconds = round(self._seconds_before + time.monotonic() - self._began, 3)

    def publishing(self, outputs: Mapping[str, OutputRecord]) -> None:
        """Write what is about to be published, by file name.

        Raises:
            ChangedInputError: what stands there, or the manifest, is not as this run found it.
            StorageError: the folder is gone.
            LockedError: another run has begun on the output.
        """
        self.check_own()
        self.guard.check()
        self.manifest.outputs = dict(outputs)
        self.manifest.write(self.job.manifest_path)

    def finish(self, *, finished: bool) -> None:
        """Write the manifest for good.

        Raises: as `Manifest.check_own`.
        """
        self.check_own()
        self.manifest.finished = finished
        if self.manifest.outputs:
            self.manifest.replaces, self.manifest.absent = {}, []
        self.manifest.write(self.job.manifest_path)

    def stopped(self, usage: Mapping[str, float]) -> None:
        """Keep what this attempt took, as far as the disk and other runs let us."""
        now = self.manifest
        now.usage = dict(usage)
        now.seconds = round(self._seconds_before + time.monotonic() - self._began, 3)
        # The disk may be what stopped us, or somebody else's file.
        with suppress(StorageError, LockedError, ChangedInputError):
            self.check_own()
            now.write(self.job.manifest_path)

    def check_own(self) -> None:
        """Make sure that the manifest is as this run wrote it.

        Raises: as `Manifest.check_own`.
        """
        self.manifest.check_own(self.job.manifest_path)

    @property
    def _sides(self) -> list[Path]:
        return [side_path(self.job.papers, kind) for kind in SIDE_KINDS]

    @property
    def _outputs(self) -> list[Path]:
        return list((self.job.outputs or {}).values())

    def _record(self, one: Input) -> InputRecord:
        if isinstance(one, Shard):
            seen = self.measured[one.name]
            return InputRecord(one.name, seen.bytes, seen.sha256)
        return InputRecord(one.name, 0, one.fingerprint)

    def _prefix_sha256(self, name: str, size: int) -> str:
        for one in self.job.inputs:
            if isinstance(one, Shard) and one.name == name:
                return measure(one.path, size).sha256
        raise ChangedInputError(f"{name}: is no file any more")


def _mark(before: int | None, take: Callable[[], int] | None) -> int | None:
    """The number from which replies count: that of the first attempt, else a new one."""
    if take is None:
        return None
    return take() if before is None else before


def output_id(papers: Path, config_fingerprint: str) -> str:
    """Names an output, made with that config, in the ledger."""
    return f"{papers.resolve()}#{config_fingerprint[:16]}"


def _measured(shard: Shard) -> Measured:
    try:
        return measure(shard.path)
    except OSError as error:
        raise MissingDataError(f"{shard.name}: cannot be read: {error.strerror}") from error


def _dependency(path: Path) -> InputRecord:
    seen = measure(path)
    return InputRecord(str(path), seen.bytes, seen.sha256)
