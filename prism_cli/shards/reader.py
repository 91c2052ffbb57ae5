"""Inputs as JSON lines: files (decompressed by suffix), globs, directories, standard input.

Other formats (CSV, Parquet, JSON arrays, documents) are recognised by the name of the file.
"""

import os
import select
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import UnsupportedOperation
from pathlib import Path
from typing import BinaryIO

from prism_cli.errors import (
    MissingDataError,
    RowError,
    UsageError,
)
from prism_cli.files.names import (
    is_pattern,
    missing_path_message,
    shown_name,
    split_pattern,
)
from prism_cli.files.urls import is_url, local_name
from prism_cli.rows.decode import decode_row, set_aside
from prism_cli.rows.row import Rejected, Row, RowRef
from prism_cli.shards.folder import (
    expected,
    folder_inputs,
    is_row_file,
    refuse_convertible,
    rows_below,
    warn_skipped,
)
from prism_cli.shards.formats.documents import is_document
from prism_cli.shards.remote.requests import check_stop
from prism_cli.shards.shard import Shard as Shard
from prism_cli.shards.shard import Source as Source
from prism_cli.shards.shard_set import check_complete
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.shards.temporary_folder import TemporaryFolder

STDIN = "-"
_LISTED: ContextVar[dict[tuple[str, bool], list[Shard]] | None] = ContextVar("listed", default=None)
_CHUNK_BYTES = 1 << 20
_LOOK_SECONDS = 0.2


@contextmanager
def listed_once() -> Iterator[None]:
    """Within it, `find_shards` looks only once at each name: a command checks and reads the same
    files, and lists a large folder or prefix once."""
    reset = _LISTED.set({})
    try:
        yield
    finally:
        _LISTED.reset(reset)


def find_shards(inputs: Sequence[str], *, plain: bool = False) -> list[Shard]:
    """Return the files and objects in stores that the user named, in order.

    A directory yields its row files by name, or itself if it holds only documents.

    Args:
        plain: the files hold lines of text, whatever format their names imply.

    Raises:
        MissingDataError: a path that does not exist or cannot be read, or a pattern or directory
            without shards.
        UsageError: an empty name.
    """
    listed, shards = _LISTED.get(), list[Shard]()
    for name in inputs:
        found = (listed or {}).get((name, plain)) or list(_shards_of(local_name(name), plain))
        if listed is not None:
            listed[name, plain] = found
        shards += found
    return shards


def _shards_of(name: str, plain: bool) -> Iterator[Shard]:
    path = Path(name)
    if not name.strip():
        raise UsageError("an input without a name (an unset variable?); nothing was read")
    if name == STDIN:
        yield _spooled(sys.stdin.buffer)
    elif is_url(name):
        from prism_cli.shards.remote.inputs import find_remote_shards

        yield from find_remote_shards(name, plain=plain)
    elif os.path.isdir(path):
        check_complete(path)
        files = folder_inputs(path)
        if not files:
            below = rows_below(path)
            hint = f". Name those in folders below it: {below}" if below else ""
            raise MissingDataError(f"{name}: a directory without shards; {expected()}{hint}")
        for file in files:
            yield _readable(Shard(file, name if file == path else shown_name(file)))
    elif os.path.exists(path):
        refuse_convertible(path, shown_name(path))
        yield _readable(Shard(path, shown_name(path), plain))
    elif is_pattern(name):
        base, pattern = split_pattern(name)
        matches = sorted(base.glob(pattern))
        files = [match for match in matches if is_row_file(match) or is_document(match)]
        warn_skipped(name, {match for match in matches if match.is_file()} - set(files))
        if not files:
            raise MissingDataError(f"{name}: no file matches this pattern; {expected()}")
        for file in files:
            yield _readable(Shard(file, shown_name(file), plain))
    else:
        raise MissingDataError(missing_path_message(name))


def _readable(shard: Shard) -> Shard:
    path = os.fspath(shard.path)
    if not (os.path.isfile(path) or os.path.isdir(path)) or not os.access(path, os.R_OK):
        raise MissingDataError(f"{shard.name}: not a file that can be read")
    return shard


def local_paths(shards: Iterable[Shard]) -> list[Path]:
    """Return the paths of files.

    Raises:
        MissingDataError: one is in an object store.
    """
    files = list(shards)
    for shard in files:
        if shard.version:
            raise MissingDataError(missing_path_message(shard.name))
    return [shard.path for shard in files]


def read_rows(
    inputs: Sequence[str],
    *,
    fields: Mapping[str, str] | None = None,
    check: Callable[[Row], None] | None = None,
    on_reject: Callable[[Rejected], None] | None = None,
) -> Iterator[tuple[RowRef, Row]]:
    """Yield well-formed rows with their places, for stages that aggregate rows.

    Args:
        inputs: as for `find_shards`.
        fields: as for `decode_row`.
        check: raises RowError for a row that the caller does not accept.
        on_reject: called with each rejected line; they are skipped without it.
    """
    return read_shards(find_shards(inputs), fields=fields, check=check, on_reject=on_reject)


def read_shards(
    shards: Iterable[Shard],
    *,
    fields: Mapping[str, str] | None = None,
    check: Callable[[Row], None] | None = None,
    on_reject: Callable[[Rejected], None] | None = None,
) -> Iterator[tuple[RowRef, Row]]:
    """Yield rows as `read_rows` does, of the files that `find_shards` returned."""
    for shard in shards:
        for number, raw in shard.numbered(fields=fields):
            if not raw.strip():
                continue
            ref = RowRef(shard.name, number)
            try:
                row = decode_row(raw, fields)
                if check:
                    check(row)
            except RowError as error:
                rejected = set_aside(ref, raw, error)
                if on_reject and isinstance(rejected, Rejected):
                    on_reject(rejected)
                continue
            yield ref, row


def _spooled(stream: BinaryIO) -> Shard:
    """Copy standard input to a file, as digests and second passes need one.

    Raises:
        StorageError: the copy cannot be written.
    """
    with storage_errors(
        f"the copy of standard input in {tempfile.gettempdir()}",
        "nothing was asked",
        advice="Make room there, or set TMPDIR to a folder with room, then run the command again",
    ):
        handle, path = tempfile.mkstemp(".jsonl", dir=_SPOOL.open())
        with os.fdopen(handle, "wb") as copy:
            for chunk in _chunks(stream):
                copy.write(chunk)
    return Shard(Path(path), STDIN)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what is written to a stream, and look meanwhile whether the run must stop."""
    while True:
        check_stop()
        with suppress(UnsupportedOperation):  # no file
            if not select.select([stream], [], [], _LOOK_SECONDS)[0]:
                continue
        if not (chunk := stream.read1(_CHUNK_BYTES)):  # type: ignore[attr-defined]
            return
        yield chunk


_SPOOL = TemporaryFolder("prism-stdin-")


def remove_spooled() -> None:
    """Delete the copies of standard input."""
    _SPOOL.clear()
