"""Objects as inputs: copied to a private temporary folder before they are read."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from prism_cli.errors import ChangedInputError, MissingDataError
from prism_cli.files.names import is_pattern
from prism_cli.files.urls import ObjectName, parse_url, staged_path
from prism_cli.shards.file_digest import FileDigest
from prism_cli.shards.folder import expected, is_row_file
from prism_cli.shards.formats import format_of
from prism_cli.shards.formats.documents import is_document
from prism_cli.shards.manifest import parse_manifest
from prism_cli.shards.remote.client import import_library
from prism_cli.shards.remote.requests import OtherState
from prism_cli.shards.remote.store import (
    ObjectState,
    object_state,
    objects_below,
    objects_in,
    read_blocks,
)
from prism_cli.shards.shard import Shard
from prism_cli.shards.shard_set import SET_MANIFEST, check_set
from prism_cli.shards.state import state_directory
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.shards.temporary_folder import TemporaryFolder


@dataclass(frozen=True)
class RemoteShard(Shard):
    """One object. Each reading uses a copy, which is removed afterwards, or at the end of the
    `copies_held` around it.

    Attributes:
        path: staged place of the object; no file.
    """

    state: ObjectState = field(default_factory=lambda: ObjectState(0, ""))

    def numbered(
        self, seen: FileDigest | None = None, fields: Mapping[str, str] | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Yield as `Shard.numbered`.

        Raises:
            ChangedInputError: the object was changed since it was listed.
            StorageError, PrerequisiteError: it cannot be read.
        """
        with self._copy() as copy:
            yield from copy.numbered(seen, fields)

    def lines(self, seen: FileDigest | None = None) -> Iterator[bytes]:
        """Yield as `Shard.lines`; raise as `numbered`."""
        with self._copy() as copy:
            yield from copy.lines(seen)

    def digest(self, first_bytes: int | None = None) -> FileDigest:
        """Return the digest of the object, or of its first bytes; raise as `numbered`."""
        with self._copy() as copy:
            return copy.digest(first_bytes)

    def size_and_change(self) -> tuple[int, int]:
        """Return the size, and a number that changes with the content."""
        return self.state.size, int.from_bytes(sha256(self.state.etag.encode()).digest()[:8])

    @contextmanager
    def _copy(self) -> Iterator[Shard]:
        path = _COPIES.get(parse_url(self.name), self.state)
        try:
            yield Shard(path, self.name, self.plain, self.strict)
        finally:
            _COPIES.release(path)


def find_remote_shards(url: str, *, plain: bool) -> list[Shard]:
    """Return the objects that a URL names: one object, those that match a pattern, or the row files
    in a folder, by name.

    Raises:
        MissingDataError: there are none.
        UsageError: as `parse_url`.
        StorageError, PrerequisiteError: the store cannot be read.
    """
    name = parse_url(url)
    import_library(name)
    if is_pattern(name.key):  # without a look at the key, which takes the right to list as well
        matches = _pattern(name.key).fullmatch
        folder = re.split(r"[*?\[]", name.key, maxsplit=1)[0].rpartition("/")[0]
        objects = objects_below(name._replace(key=folder))
        named = {key: state for key, state in objects if key == name.key or matches(key)}
        exact = named.get(name.key)
        found = [(name, exact)] if exact else _row_objects(name, named.items())
        problem = f"no object matches this pattern; {expected()}"
    elif not name.key.endswith("/") and name.key and (state := object_state(name)):
        found, problem = [(name, state)], ""
    else:
        files = objects_in(name)
        _check_complete(name, files)
        found = _row_objects(name, files.values())
        problem = f"no such object, and no row files in a folder of that name; {expected()}"
    if not found:
        raise MissingDataError(f"{url}: {problem}")
    folder = state_directory(None)
    return [_shard(object_name, state, folder, plain) for object_name, state in found]


def _shard(name: ObjectName, state: ObjectState, folder: Path, plain: bool) -> RemoteShard:
    url = str(name)
    path = staged_path(url, folder)
    if is_document(path) and not plain:
        raise MissingDataError(
            f"{url}: documents are read from local folders; download it, or name objects of rows. "
            "Nothing was done"
        )
    return RemoteShard(path, url, plain, version=state.etag, state=state)


def fetch_set_manifest(
    folder: ObjectName, files: Mapping[str, tuple[str, ObjectState]]
) -> dict[str, Any] | None:
    """Return the manifest of the set of shards in a folder; None if it has none.

    Args:
        files: as `objects_in` returns them.

    Raises: as `objects_below`; ChangedInputError if it is changed at this moment.
    """
    if SET_MANIFEST not in files:
        return None
    key, state = files[SET_MANIFEST]
    name = folder._replace(key=key)
    try:
        return parse_manifest(b"".join(read_blocks(name, state)))
    except OtherState as change:
        raise _changed(name, change) from None


def _check_complete(folder: ObjectName, files: Mapping[str, tuple[str, ObjectState]]) -> None:
    if manifest := fetch_set_manifest(folder, files):
        check_set(str(folder), manifest, files.__contains__)


def _row_objects(
    within: ObjectName, objects: Iterable[tuple[str, ObjectState]]
) -> list[tuple[ObjectName, ObjectState]]:
    found = [(within._replace(key=key), state) for key, state in objects if is_row_file(Path(key))]
    rows = [(name, state) for name, state in found if format_of(Path(name.key)) != "json"]
    return sorted(rows or found)


def _pattern(key: str) -> re.Pattern[str]:
    """Return a shell pattern as a regular expression: * and ? stay within a folder, ** does not."""
    marks = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", key)

    def expression(part: str) -> str:
        if not part.startswith("["):
            return marks.get(part) or re.escape(part)
        inside = part[1:-1]
        negated = inside.startswith("!")
        characters = "".join(mark if mark == "-" else re.escape(mark) for mark in inside[negated:])
        return f"(?!/)[{'^' * negated}{characters}]"

    return re.compile("".join(map(expression, parts)))


class _Copies:
    """Copies of objects in a temporary folder of this process."""

    def __init__(self) -> None:
        self._folder = TemporaryFolder("prism-copies-")
        self._paths: dict[tuple[ObjectName, str], Path] = {}
        self.holders = 0

    def get(self, name: ObjectName, state: ObjectState) -> Path:
        """Return the copy of an object; copy it unless there is one."""
        folder = self._folder.open()
        path = self._paths.get((name, state.etag))
        if path is None or path.parent.parent != folder:
            path = Path(tempfile.mkdtemp(dir=folder)) / name.key.rpartition("/")[2]
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, path.parent, ignore_errors=True)
                _download(name, state, path)
                undo.pop_all()
            self._paths[name, state.etag] = path
        return path

    def release(self, path: Path) -> None:
        """Remove a copy unless copies are held."""
        if not self.holders:
            shutil.rmtree(path.parent, ignore_errors=True)
            self._paths = {key: value for key, value in self._paths.items() if value != path}

    def clear(self) -> None:
        """Remove all copies."""
        self._folder.clear()
        self._paths = {}


_COPIES = _Copies()


@contextmanager
def copies_held() -> Iterator[None]:
    """Keep the copies that are made in the block until its end: a shard's inputs are read several
    times."""
    _COPIES.holders += 1
    try:
        yield
    finally:
        _COPIES.holders -= 1
        if not _COPIES.holders:
            _COPIES.clear()


def _download(name: ObjectName, state: ObjectState, path: Path) -> None:
    with storage_errors(path, f"the copy of {name} was removed"):
        with path.open("wb") as file:
            try:
                for block in read_blocks(name, state):
                    file.write(block)
            except OtherState as change:
                raise _changed(name, change) from None
        os.utime(path, ns=(state.changed_ns, state.changed_ns))  # the same for each copy


def _changed(name: ObjectName, change: OtherState) -> ChangedInputError:
    return ChangedInputError(
        f"{name}: {change} after it was listed; nothing was published. Run the same command again "
        "when its writer is done",
        reasons=[f"{name} {change} after it was listed"],
    )
