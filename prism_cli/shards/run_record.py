"""Record of one run in its manifest: begin, resume, stop, finish."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prism_cli.errors import ChangedInputError, LockedError, MissingDataError, StorageError
from prism_cli.files.names import shown_name
from prism_cli.shards.file_digest import FileDigest, cached_digest
from prism_cli.shards.file_guard import ADVICE, LEDGER_ADVICE, FileGuard
from prism_cli.shards.manifest import InputRecord, Manifest, read_manifest
from prism_cli.shards.manifest_changes import (
    changed_settings,
    is_finished,
    matching_record,
    unread_record,
)
from prism_cli.shards.reader import Shard, Source
from prism_cli.shards.unchanged_files import (
    are_unchanged_inputs,
    are_unchanged_outputs,
    unchanged_input,
)
from prism_cli.shards.writer import OutputRecord


@dataclass
class RunRecord:
    """Settings, inputs, outputs and progress of one run.

    Attributes:
        config: everything that determines the outputs besides the inputs.
        record_path: the output, or the path from which manifest, rejects and lock are named.
        path: the manifest. A manifest inside the output, a folder, lists no files.
        inputs: files, sources, or records of files that were read before.
        dependencies: other files that determine the outputs.
        outputs: files, or the folder, that the run publishes.
        side_files: files beside an output that only a run writes.
        also: other files that are published with the outputs.
        inputs_may_grow: whether inputs that only grew make the run unfinished, not changed.
        bookkeeping: settings that an attempt may change, as they do not affect the outputs.
        libraries: packages whose versions are recorded.
        guarded: whether changes of the outputs from now on are refused; False for a look.
        killed_seconds: returns the seconds of the previous attempt if it was killed, else None.
        plan: the stage's part of the batch plan, set before `begin`; that of an unfinished attempt
            is reused.
    """

    stage: str
    config: Mapping[str, Any]
    record_path: Path
    path: Path
    inputs: Sequence[Shard | Source | InputRecord] = ()
    dependencies: Sequence[Shard | Path] = ()
    outputs: Sequence[Path] = ()
    side_files: Sequence[Path] = ()
    also: Sequence[Path] = ()
    inputs_may_grow: bool = True
    bookkeeping: Collection[str] = ()
    libraries: Collection[str] = ()
    batch_plan: Mapping[str, int] = field(default_factory=dict)
    killed_seconds: Callable[[], float | None] | None = None
    guarded: bool = True
    plan: Mapping[str, int] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0
    _read: dict[str, FileDigest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        files = [*self._files, *self.also, *self.side_files] if self.guarded else []
        self.guard = FileGuard(files)

    @cached_property
    def digests(self) -> dict[str, FileDigest]:
        """Digest of each input file, by name.

        Raises:
            MissingDataError: a file cannot be read.
        """
        shards = [shard for shard in self.inputs if isinstance(shard, Shard)]
        return {shard.name: self._digest(shard) for shard in shards}

    @cached_property
    def manifest(self) -> Manifest:
        """Manifest of the run, as it is written on success."""
        manifest = self._new_manifest(read_manifest(self.path), by_time=False)
        manifest.versions |= {name: version(name) for name in self.libraries}
        return manifest

    def _new_manifest(self, previous: Mapping[str, Any] | None, *, by_time: bool) -> Manifest:
        """Return a manifest. Digests of objects in stores that have not changed since `previous`
        are taken from there; with `by_time`, those of files too."""
        before = previous or {"inputs": (), "dependencies": ()}
        inputs, dependencies = (
            {
                entry["path"]: entry
                for entry in before[kind]
                if entry.get("version") or (by_time and entry.get("changed_ns"))
            }
            for kind in ("inputs", "dependencies")
        )
        return Manifest(
            self.stage,
            dict(self.config),
            [self._record(source, inputs) for source in self.inputs],
            [_dependency(file, dependencies) for file in self.dependencies],
            batch_plan=dict(self.batch_plan),
        )

    @property
    def home(self) -> Path | None:
        """Output beside which the ledger may be; None without outputs."""
        return self.outputs[0] if self.outputs else None

    @property
    def output_id(self) -> str:
        """Name of this output and config in the ledger."""
        return output_id(self.record_path, self.manifest.config_fingerprint)

    def finished(self) -> dict[str, Any] | None:
        """Return the manifest if the outputs exist and are finished as this run would make them.

        Raises:
            ChangedInputError: the outputs exist, and another command or program made them.
        """
        previous = read_manifest(self.path)
        if previous and self._is_as_recorded(previous):
            return previous  # which is how most of many shards are found to be finished
        existing = [out for out in self.outputs if out.exists()]
        if self.outputs and previous is None:
            # A link is replaced, not followed.
            existing += [
                side for side in self.side_files if side.is_file() and not side.is_symlink()
            ]
        if not existing:
            return None
        prefix = self._prefix_sha256 if self.inputs_may_grow else None
        before = self._comparable(previous) if previous else None
        now = self._new_manifest(previous, by_time=True)
        done = [is_finished(out, before, now, prefix) for out in existing]
        return previous if all(done) and len(done) == len(self.outputs) else None

    def _is_as_recorded(self, previous: Mapping[str, Any]) -> bool:
        return (
            previous["finished"]
            and (previous["stage"], previous["config"]) == (self.stage, self.config)
            and not (self.dependencies or previous["dependencies"])
            and are_unchanged_inputs(previous["inputs"], self.inputs)
            and are_unchanged_outputs(previous["outputs"], self.outputs)
        )

    def begin(
        self,
        fresh: Callable[[], int] | None = None,
        retry: Callable[[], int] | None = None,
        overwriting: Callable[[], int] | None = None,
        *,
        alone: bool = True,
    ) -> None:
        """Write the manifest, unfinished; continue the counts of an earlier attempt.

        Args:
            fresh: returns a new sequence number of the ledger; with it, replies from before the
                first attempt are not used.
            retry: likewise, for final refusals only.
            overwriting: returns the mark of a run that makes several outputs anew.
            alone: whether a lock excludes other processes. Without, an output that no record tells
                of may be that of another process whose manifest this one replaces; it is refused
                when its bytes turn out to be others.
        """
        now, previous = self.manifest, read_manifest(self.path)
        now.batch_plan |= self.plan
        killed = self.killed_seconds() if self.killed_seconds else None
        if previous and not changed_settings(self._comparable(previous), now):
            self._resume(previous, killed)
        for out in self._files:
            if not self.guard.before[out]:
                now.absent += [out.name] if alone else []
            elif out.is_file():
                record = matching_record(out, previous) if previous else None
                if record or alone:
                    now.replaces[out.name] = record or unread_record(out)
                else:
                    self.guard.before[out] = ()
        now.fresh_since = _mark(now.fresh_since, fresh)
        now.refused_since = _mark(now.refused_since, retry)
        now.overwritten_by = overwriting() if overwriting else None
        self.write()

    def _resume(self, previous: Mapping[str, Any], killed: float | None) -> None:
        now = self.manifest
        now.attempts = previous["attempts"] + 1
        now.lost = previous["lost"] + (killed is not None)
        self._seconds_before = previous["seconds"] + (killed or 0.0)
        now.seconds = round(self._seconds_before, 3)
        now.usage = previous["usage"]
        if not previous["finished"]:
            now.fresh_since = previous["fresh_since"]
            now.refused_since = previous["refused_since"]
            before = previous["batch_plan"]
            now.batch_plan |= {name: before.get(name, now.batch_plan[name]) for name in self.plan}

    def account(
        self, counts: Mapping[str, Any], usage: Mapping[str, float], figures: Mapping[str, Any]
    ) -> None:
        """Store the results of the pass."""
        now = self.manifest
        now.counts, now.usage, now.figures = dict(counts), dict(usage), dict(figures)
        self._add_seconds()

    def publishing(self, outputs: Mapping[str, OutputRecord]) -> None:
        """Record the files that are about to be published, by name.

        Raises:
            ChangedInputError: an existing file or the manifest was changed meanwhile.
            StorageError: the folder was removed.
            LockedError: another run has begun on the output.
        """
        self.check_own()
        equal = {name: (record.bytes, record.sha256) for name, record in outputs.items()}
        self.guard.check(LEDGER_ADVICE if self.manifest.uses_ledger else ADVICE, equal)
        self.manifest.outputs = dict(outputs)
        self.write()

    def finish(self, *, finished: bool) -> None:
        """Write the final manifest.

        Raises: as `Manifest.check_own`.
        """
        self.check_own()
        self.manifest.finished, self.manifest.lost = finished, 0
        self._add_seconds()
        if self.manifest.outputs:
            self.manifest.replaces, self.manifest.absent = {}, []
        self.write()

    def stopped(self, usage: Mapping[str, float] | None = None) -> None:
        """Record the usage and time of a stopped attempt, if the manifest can be written."""
        if usage:  # else no reply was looked up, and those of earlier attempts count
            self.manifest.usage = dict(usage)
        self.manifest.lost = 0
        self._add_seconds()
        # A full disk or another run may be the reason for the stop.
        with suppress(StorageError, LockedError, ChangedInputError):
            self.check_own()
            self.write()

    def write(self) -> None:
        """Write the manifest."""
        self.manifest.write(self.path)

    def check_own(self) -> None:
        """Make sure that the manifest is the one that this run wrote.

        Raises: as `Manifest.check_own`.
        """
        self.manifest.check_own(self.path)

    def _add_seconds(self) -> None:
        self.manifest.seconds = round(self._seconds_before + time.monotonic() - self._began, 3)

    @property
    def _files(self) -> list[Path]:
        """Outputs beside the manifest; a folder that contains it is guarded by `whole_folder`."""
        return [out for out in self.outputs if out not in self.path.parents]

    def _comparable(self, previous: Mapping[str, Any]) -> dict[str, Any]:
        """Return a manifest with the bookkeeping settings of this run."""
        kept = {name: self.config[name] for name in self.bookkeeping}
        return {**previous, "config": {**previous["config"], **kept}}

    def _record(
        self, source: Shard | Source | InputRecord, before: Mapping[str, Mapping[str, Any]]
    ) -> InputRecord:
        if isinstance(source, InputRecord):
            return source
        if isinstance(source, Shard):
            known = unchanged_input(before.get(source.name), source)
            return known or _input_record(source.name, source.version, self._digest(source))
        return InputRecord(source.name, 0, source.fingerprint)

    def _digest(self, shard: Shard) -> FileDigest:
        if shard.name not in self._read:
            try:
                self._read[shard.name] = shard.digest()
            except OSError as error:
                message = f"{shard.name}: cannot be read: {error.strerror}"
                raise MissingDataError(message) from error
        return self._read[shard.name]

    def _prefix_sha256(self, name: str, size: int) -> str:
        for source in self.inputs:
            if isinstance(source, Shard) and source.name == name:
                return source.digest(size).sha256
        raise ChangedInputError(f"{name}: is no longer a file")


def _mark(before: int | None, take: Callable[[], int] | None) -> int | None:
    """Return the sequence number from which replies count: the first attempt's, or a new one."""
    if take is None:
        return None
    return take() if before is None else before


def output_id(record_path: Path, config_fingerprint: str) -> str:
    """Return the name of an output with its config in the ledger."""
    return f"{shown_name(record_path.resolve())}#{config_fingerprint[:16]}"


def _dependency(file: Shard | Path, before: Mapping[str, Mapping[str, Any]]) -> InputRecord:
    name = file.name if isinstance(file, Shard) else str(file)
    if known := unchanged_input(before.get(name), file):
        return known
    if isinstance(file, Shard):
        return _input_record(name, file.version, file.digest())
    return _input_record(name, "", cached_digest(file))


def _input_record(name: str, version: str, digest: FileDigest) -> InputRecord:
    changed = 0 if version else digest.settled_ns
    inode_changed = digest.inode_changed_ns if changed else 0
    return InputRecord(name, digest.bytes, digest.sha256, version, changed, inode_changed)
