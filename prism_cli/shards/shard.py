"""An input of rows: a file, a folder of documents, or rows from elsewhere."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from prism_cli.errors import ChangedInputError, InvalidNameError
from prism_cli.files.compressed import is_compressed
from prism_cli.files.lines import byte_lines, reading, size_in_file
from prism_cli.files.names import has_utf8_name
from prism_cli.rows.decode import row_bytes
from prism_cli.shards.file_digest import FileDigest, digest_file, size_and_change
from prism_cli.shards.formats import Format, format_of, numbered_lines
from prism_cli.shards.formats.documents import NO_UTF8
from prism_cli.shards.remote.requests import check_stop


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

    @cached_property
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
        """Return the digest of the file, or of its first bytes; raise if the run must stop."""
        return digest_file(self.path, first_bytes, check=check_stop)

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
