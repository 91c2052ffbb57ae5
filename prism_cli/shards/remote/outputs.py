"""Objects as outputs: a run writes local files, which are uploaded when all of them are whole.

The staging folder mirrors the store: it holds the manifest, and in place of each finished output an
empty file of the same size and time, so that the run record compares as with local outputs. What
was mirrored is kept beside them; while the store still has it, the local files of an unfinished
attempt stand.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from prism_cli.errors import LockedError, StorageError
from prism_cli.files.urls import ObjectName, StagedPath
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.remote.claims import Claim
from prism_cli.shards.remote.client import import_library
from prism_cli.shards.remote.requests import OtherState
from prism_cli.shards.remote.store import (
    WHOLE_BYTES,
    ObjectState,
    attributes,
    check_bucket,
    delete,
    object_state,
    objects_in,
    put,
    read_blocks,
)
from prism_cli.shards.remote.store_record import States, StoreRecord, read_store_record
from prism_cli.shards.writer import remove_file, whole_file

_SHA256 = "sha256"
"""Metadata of each object that prism writes."""
_MANY = 24
"""Number of objects from which one list of their folder is faster than a look at each."""


class StagedOutputs:
    """Outputs of one job, with the manifest and side files. The caller holds the job's lock.

    Args:
        record_path: path from which the names of manifest and side files are made.
        outputs, sides: local places of the objects.
    """

    def __init__(
        self, record_path: StagedPath, outputs: Iterable[Path], sides: Iterable[Path]
    ) -> None:
        self._record_path = record_path
        self._outputs = [path for path in outputs if isinstance(path, StagedPath)]
        self._sides = [path for path in sides if isinstance(path, StagedPath)]
        manifest = manifest_path(record_path)
        assert isinstance(manifest, StagedPath)
        self._manifest = manifest
        self._record_file = record_path.with_name(f".{record_path.name}.store.json")
        self._announced = False
        import_library(record_path.object_name)

    def refresh(self, listed: Mapping[str, ObjectState] | None = None) -> None:
        """Mirror the store, unless it is as this folder last knew it.

        Args:
            listed: states of all objects in their folder, by key, where they are known.

        Raises:
            StorageError, PrerequisiteError: the store cannot be read, or has no such bucket.
        """
        lists = listed is not None
        if listed is None and len(self._paths) > _MANY:
            listed, lists = dict(objects_in(self._folder).values()), True
        now = self._states(listed)
        if not any(now.values()):
            check_bucket(self._folder)
        known = self._known
        if known is not None and known.knows(now):
            if not lists and known.states != now:  # a list lacks versions
                known.states = now
                known.write()
            return
        for path in self._paths:
            if path.exists():
                remove_file(path)
        if state := now[self._manifest.name]:
            self._fetch_manifest(state)
        manifest = read_manifest(self._manifest)
        for path in self._outputs:
            if (state := now[path.name]) and self._stands(path, state, manifest):
                recorded = (manifest or {"outputs": {}})["outputs"].get(path.name)
                _place(path, state.size, recorded["changed_ns"] if recorded else state.changed_ns)
        for path in self._sides:
            if (state := now[path.name]) and (manifest or not _is_leftover(path.object_name)):
                _place(path, state.size, state.changed_ns)
        StoreRecord(self._record_file, now, self._manifest_digest()).write()

    def is_current(self, listed: Mapping[str, ObjectState]) -> bool:
        """Return whether the folder mirrors a finished job of the store; needs no lock."""
        known = self._known
        return known is not None and known.knows(self._states(listed)) and self.published

    @property
    def _known(self) -> StoreRecord | None:
        return read_store_record(self._record_file)

    @property
    def _folder(self) -> ObjectName:
        name = self._manifest.object_name
        return name._replace(key=name.key.rpartition("/")[0])

    @property
    def _paths(self) -> list[StagedPath]:
        return [*self._outputs, *self._sides, self._manifest]

    def _states(self, listed: Mapping[str, ObjectState] | None) -> States:
        if listed is not None:
            return {path.name: listed.get(path.object_name.key) for path in self._paths}
        return {path.name: object_state(path.object_name) for path in self._paths}

    def _stands(
        self, path: StagedPath, state: ObjectState, manifest: Mapping[str, Any] | None
    ) -> bool:
        """Return whether an object counts as an output; one that a killed run left, or that is not
        as its manifest says, is made again."""
        if manifest is None:
            return not _is_leftover(path.object_name)
        recorded = manifest["outputs"].get(path.name)
        if recorded is None:
            return manifest["finished"] or not _is_leftover(path.object_name)
        if state.size == recorded["bytes"] and recorded.get("version") in (None, state.etag):
            return True
        print(
            f"prism: {path}: expected {recorded['bytes']:,} bytes as its manifest says, found "
            f"{state.size:,}, or other content; it is made again",
            file=sys.stderr,
        )
        return False

    @property
    def published(self) -> bool:
        """True if the store has the manifest of this folder."""
        known = self._known
        digest = self._manifest_digest()
        return known is not None and bool(digest) and known.manifest == digest

    def claim(self, command: str) -> Claim:
        """Return the claim of the outputs, which is held while it is entered; `command` as for
        `Claim`."""
        return Claim(self._record_path, command)

    @property
    def is_changed(self) -> bool:
        """True if the store has another manifest than this folder has mirrored."""
        known, name = self._known, self._manifest.name
        now = {name: object_state(self._manifest.object_name)}
        return known is None or not replace(known, states={name: known.states.get(name)}).knows(now)

    def ship(self, path: StagedPath, part: Path, sha256: str, claim: Claim) -> None:
        """Upload one of many outputs before the others are made. Until `publish` the manifest in
        the store says that they are not finished.

        Args:
            part: the file, which is left without content, with the same size and time.
            sha256: of its content.
            claim: of these outputs, held.

        Raises: as `publish`.
        """
        known = self._begun()
        if not self._announced:
            self._refuse_changed()
            self._upload(self._manifest, known, claim)
            self._announced = True
        present = known.states.get(path.name)
        if not present or attributes(path.object_name).get(_SHA256) != sha256:
            self._upload(path, known, claim, part)
        known.shipped[path.name] = sha256
        known.write()
        state = part.stat()
        _place(part, state.st_size, state.st_mtime_ns)
        if path not in self._outputs:
            self._outputs.append(path)

    def publish(self, claim: Claim) -> None:
        """Upload side files, outputs and the manifest, in this order; does nothing if the store has
        the manifest already.

        Args:
            claim: of these outputs, held.

        Raises:
            LockedError: another run has published there meanwhile, or taken over the claim.
            StorageError, PrerequisiteError: the store fails or refuses.
        """
        known = self._begun()
        if self.published:
            return
        claim.check(now=True)
        self._refuse_changed()
        for path in self._sides:
            if path.exists():
                self._upload(path, known, claim)
            else:
                self._delete(path, known)
        made = orjson.loads(self._manifest.read_bytes())["outputs"]
        for path in self._outputs:
            if path.name not in made:  # of an earlier set of shards
                self._delete(path, known)
            elif known.shipped.get(path.name) != made[path.name]["sha256"]:
                self._upload(path, known, claim)
        self._publish_manifest(known, claim)
        self._check_large(known)
        for path in [*self._outputs, *self._sides]:
            if path.exists():
                state = path.stat()
                remove_file(path)
                _place(path, state.st_size, state.st_mtime_ns)

    def _begun(self) -> StoreRecord:
        if (known := self._known) is None:
            raise StorageError(f"{self._record_file}: was removed while the run worked; run again")
        return known

    def _refuse_changed(self) -> None:
        if self.is_changed:
            raise self._other_run(self._manifest)

    def _publish_manifest(self, known: StoreRecord, claim: Claim) -> None:
        content = orjson.loads(self._manifest.read_bytes())
        for path in self._outputs:
            if (state := known.states.get(path.name)) and path.name in content["outputs"]:
                content["outputs"][path.name]["version"] = state.etag
        data = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        with whole_file(self._manifest) as file:
            file.write(data)
        self._upload(self._manifest, known, claim)
        known.manifest, known.shipped = sha256(data).hexdigest(), {}
        known.write()

    def _check_large(self, known: StoreRecord) -> None:
        """Make sure that the outputs that were uploaded without condition are still there."""
        for path in self._outputs:
            state = known.states.get(path.name)
            if state and state.size > WHOLE_BYTES:
                now = object_state(path.object_name)
                if now is None or now.etag != state.etag:
                    raise self._other_run(path)

    def _delete(self, path: StagedPath, known: StoreRecord) -> None:
        if known.states.get(path.name):
            delete(path.object_name)
            known.set(path.name, None)

    def _upload(
        self, path: StagedPath, known: StoreRecord, claim: Claim, part: Path | None = None
    ) -> None:
        """Upload a file in place of the object that is known, and note its new state."""
        file, before = part or Path(os.fspath(path)), known.states.get(path.name)
        digest = digest_file(file).sha256
        claim.check()
        try:
            state = put(path.object_name, file, before, check=claim.check, sha256=digest)
        except OtherState:
            now = object_state(path.object_name)
            if now is None or attributes(path.object_name).get(_SHA256) != digest:
                raise self._other_run(path) from None
            state = now  # the same bytes: the reply to an earlier request was lost
        known.set(path.name, state)
        if state.size > WHOLE_BYTES:
            claim.check(now=True)  # else it may have replaced the output of another run

    def _other_run(self, path: StagedPath) -> LockedError:
        return LockedError(
            f"{path}: another run has published there while this one worked; it was left as it is, "
            "and this run's output is not published. The replies so far are kept: run the same "
            "command again, or name another output with -o"
        )

    def _fetch_manifest(self, state: ObjectState) -> None:
        try:
            data = b"".join(read_blocks(self._manifest.object_name, state))
        except OtherState:
            raise self._other_run(self._manifest) from None
        with whole_file(self._manifest) as file:
            file.write(data)

    def _manifest_digest(self) -> str:
        with suppress(FileNotFoundError):
            return sha256(self._manifest.read_bytes()).hexdigest()
        return ""


def _is_leftover(name: ObjectName) -> bool:
    """Return whether an object without manifest was uploaded by a run that was killed."""
    return _SHA256 in attributes(name)


def _place(path: Path, size: int, changed_ns: int) -> None:
    """Put a file without content at `path`, which takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    os.utime(path, ns=(changed_ns, changed_ns))


def list_folders(paths: Iterable[Path]) -> dict[str, dict[str, ObjectState]]:
    """Return the states of all objects in the folders of these objects, by folder and key.

    Raises:
        StorageError, PrerequisiteError: a folder cannot be listed.
    """
    folders = {str(path.parent): path.parent for path in paths if isinstance(path, StagedPath)}
    names = {url: path.object_name for url, path in folders.items() if isinstance(path, StagedPath)}
    return {url: dict(objects_in(name).values()) for url, name in names.items()}


def staged_outputs(
    record_path: Path, outputs: Sequence[Path], sides: Sequence[Path]
) -> StagedOutputs | None:
    """Return the objects behind the outputs of a job; None if they are local files."""
    if not isinstance(record_path, StagedPath):
        return None
    return StagedOutputs(record_path, outputs, sides)
