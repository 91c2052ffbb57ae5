"""Inputs as JSON lines: files (decompressed by suffix), globs, directories, standard input.

Other formats (CSV, Parquet, JSON arrays, documents) are recognised by the name of the file.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from prism_cli.errors import (
    ChangedInputError,
    InvalidNameError,
    MissingDataError,
    RowError,
    UsageError,
)
from prism_cli.files.compressed import is_compressed
from prism_cli.files.lines import byte_lines, reading, size_in_file
from prism_cli.files.names import (
    has_utf8_name,
    is_pattern,
    missing_path_message,
    shown_name,
    split_pattern,
)
from prism_cli.files.urls import is_url, local_name
from prism_cli.rows.decode import decode_row, row_bytes, set_aside
from prism_cli.rows.row import Rejected, Row, RowRef
from prism_cli.shards.file_digest import FileDigest, digest_file, size_and_change
from prism_cli.shards.folder import (
    expected,
    folder_inputs,
    is_row_file,
    refuse_convertible,
    warn_skipped,
)
from prism_cli.shards.formats import Format, format_of, numbered_lines
from prism_cli.shards.formats.documents import NO_UTF8, is_document

STDIN = "-"
_CHUNK_BYTES = 1 << 20


class Source(Protocol):
    """Rows from elsewhere than a file, such as a data set of the hub."""

    @property
    def name(self) -> str:
        """Name of the source in rejects and messages."""

    @property
    def fingerprint(self) -> str:
        """Identity of its rows (path, split, revision)."""

    def lines(self) -> Iterator[bytes]:
        """Yield one JSON object per row, as bytes."""


@dataclass(frozen=True)
class Shard:
    """One input file, or a folder of documents.

    Attributes:
        path: the file (a spooled copy for standard input).
        name: name as the user typed it; "-" for standard input.
        plain: read the lines unchanged, whatever format the name implies.
        strict: leave a byte order mark in the first line, for `decode_row` to refuse: tools that
            read the outputs do not accept one.
        version: of an object in a store, its etag.
    """

    path: Path
    name: str
    plain: bool = False
    strict: bool = True
    version: str = ""

    @property
    def format(self) -> Format:
        """Format that the name implies."""
        return "lines" if self.plain else format_of(self.path)

    def check_name(self) -> None:
        """Raise InvalidNameError if the name of a row file is not UTF-8.

        Documents with such names are rejected one by one.
        """
        if not has_utf8_name(self.path) and self.format != "documents":
            raise InvalidNameError(f"{self.name}: {NO_UTF8}")

    @property
    def packed(self) -> bool:
        """True if the file is compressed."""
        return is_compressed(self.path)

    def digest(self, first_bytes: int | None = None) -> FileDigest:
        """Return the digest of the file, or of its first bytes."""
        return digest_file(self.path, first_bytes)

    def size_and_change(self) -> tuple[int, int]:
        """Return the size in bytes, and the time of last change in nanoseconds since the epoch."""
        return size_and_change(self.path)

    def numbered(
        self, seen: FileDigest | None = None, fields: Mapping[str, str] | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Yield each row as a number and a JSON line; see `numbered_lines`.

        Args:
            seen: as for `lines`.
            fields: as for `decode_row`; the columns of a table get their types from it.

        Raises:
            InvalidNameError: as for `check_name`.
            MissingDataError: the file is damaged or not of its format.
            MissingPackageError: the format needs a library that is not installed.
            ChangedInputError: the file differs from `seen`.
        """
        self.check_name()
        kind = self.format
        rows = numbered_lines(self.path, self.name, kind, fields or {})
        if rows is None:
            return enumerate(self.lines(seen), 1)
        return self._checked(rows, seen)

    def _checked(
        self, rows: Iterator[tuple[int, bytes]], seen: FileDigest | None
    ) -> Iterator[tuple[int, bytes]]:
        with reading(self.name, self.path, "row") as place:
            for place.last, raw in rows:
                yield place.last, raw
        if seen:
            self._check_unchanged(seen, may_grow=False)

    def lines(self, seen: FileDigest | None = None) -> Iterator[bytes]:
        """Yield the lines, split on \\n only, each with its line end.

        A line above the limit is `Unreadable`, which `decode_row` refuses.

        Args:
            seen: digest at whose size to stop, so that a file that grows is read as it was.

        Raises:
            InvalidNameError: as for `check_name`.
            MissingDataError: see `byte_lines`.
            ChangedInputError: the file differs from `seen`.
        """
        self.check_name()
        left = seen.bytes if seen and not self.packed else sys.maxsize
        keep_mark = self.strict and not self.plain
        for line in byte_lines(self.path, self.name, keep_mark=keep_mark):
            left -= size_in_file(line)
            raw = row_bytes(line)
            if left <= 0:
                yield raw[:left] if left else raw
                break
            yield raw
        if seen:
            self._check_unchanged(seen)

    def _check_unchanged(self, seen: FileDigest, *, may_grow: bool = True) -> None:
        size, changed = size_and_change(self.path)
        grew = may_grow and size > seen.bytes and not self.packed
        if not grew and (size, changed) != (seen.bytes, seen.changed_ns):
            raise ChangedInputError(
                f"{self.name}: changed while it was read; nothing was published. Run the same "
                "command again when its writer is done"
            )


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
    shards: list[Shard] = []
    for name in inputs:
        name = local_name(name)
        path = Path(name)
        if not name.strip():
            raise UsageError("an input without a name (an unset variable?); nothing was read")
        if name == STDIN:
            shards.append(_spooled(sys.stdin.buffer))
        elif is_url(name):
            from prism_cli.shards.remote.inputs import find_remote_shards

            shards += find_remote_shards(name, plain=plain)
        elif os.path.isdir(path):
            files = folder_inputs(path)
            if not files:
                raise MissingDataError(f"{name}: a directory without shards; {expected()}")
            shards += [Shard(file, name if file == path else shown_name(file)) for file in files]
        elif os.path.exists(path):
            refuse_convertible(path, shown_name(path))
            shards.append(Shard(path, shown_name(path), plain))
        elif is_pattern(name):
            base, pattern = split_pattern(name)
            matches = sorted(base.glob(pattern))
            files = [match for match in matches if is_row_file(match) or is_document(match)]
            warn_skipped(name, {match for match in matches if match.is_file()} - set(files))
            if not files:
                raise MissingDataError(f"{name}: no file matches this pattern; {expected()}")
            shards += [Shard(file, shown_name(file), plain) for file in files]
        else:
            raise MissingDataError(missing_path_message(name))
    for shard in shards:
        if shard.version:
            continue
        if not (shard.path.is_file() or shard.path.is_dir()) or not os.access(shard.path, os.R_OK):
            raise MissingDataError(f"{shard.name}: not a file that can be read")
    return shards


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
    """Copy standard input to a file, as digests and second passes need one."""
    with tempfile.NamedTemporaryFile(prefix="prism-stdin-", suffix=".jsonl", delete=False) as copy:
        _TEMPORARY.append(Path(copy.name))
        while chunk := stream.read(_CHUNK_BYTES):
            copy.write(chunk)
    return Shard(Path(copy.name), STDIN)


_TEMPORARY: list[Path] = []


def remove_spooled() -> None:
    """Delete the copies of standard input."""
    while _TEMPORARY:
        _TEMPORARY.pop().unlink(missing_ok=True)
