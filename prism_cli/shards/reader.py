"""Inputs as JSON lines: files (decompressed by suffix), globs, directories, standard input.

Other formats than JSON lines (CSV, Parquet, JSON arrays, documents) are told by a file's name.
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
    MissingDataError,
    RowError,
    UnfitNameError,
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
from prism_cli.rows.decode import decode_row, row_bytes, set_aside
from prism_cli.rows.row import Rejected, Row, RowRef
from prism_cli.shards.folder import (
    expected,
    folder_inputs,
    is_row_file,
    refuse_convertible,
    tell_passed_over,
)
from prism_cli.shards.formats import Format, format_of, numbered_lines
from prism_cli.shards.formats.documents import NO_UTF8, is_document
from prism_cli.shards.measured import Measured, size_and_change

STDIN = "-"
_CHUNK_BYTES = 1 << 20


class Source(Protocol):
    """Rows that do not come from a JSONL file, such as a data set of a hub."""

    @property
    def name(self) -> str:
        """What rejects name as the file."""

    @property
    def fingerprint(self) -> str:
        """What decides its rows (path, split, revision)."""

    def lines(self) -> Iterator[bytes]:
        """One JSON object a row, as bytes."""


@dataclass(frozen=True)
class Shard:
    """One input file, or a folder of documents.

    Attributes:
        path: where the bytes are (a spooled copy for standard input).
        name: what the user calls it; "-" for standard input.
        plain: its lines are read as they are, whatever its name stands for.
        strict: a byte order mark is left in the first line, for `decode_row` to refuse: tools that
            read the outputs take no mark, so rows are not to begin with one.
    """

    path: Path
    name: str
    plain: bool = False
    strict: bool = True

    @property
    def format(self) -> Format:
        """What its name stands for."""
        return "lines" if self.plain else format_of(self.path)

    def check_name(self) -> None:
        """Raise UnfitNameError where the name of a file of rows is not UTF-8.

        Documents are set aside one by one.
        """
        if not has_utf8_name(self.path) and self.format != "documents":
            raise UnfitNameError(f"{self.name}: {NO_UTF8}")

    @property
    def packed(self) -> bool:
        """Whether its bytes are compressed."""
        return is_compressed(self.path)

    def numbered(
        self, seen: Measured | None = None, fields: Mapping[str, str] | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Each row as a JSON line, with its number; see `numbered_lines`.

        Args:
            seen: as for `lines`.
            fields: as for `decode_row`, which columns of a table get their types from.

        Raises:
            UnfitNameError: as for `check_name`.
            MissingDataError: the file is not of its format, or damaged.
            MissingPackageError: its format needs a library that is not installed.
            ChangedInputError: the file is no longer what `seen` measured.
        """
        self.check_name()
        kind = self.format
        rows = numbered_lines(self.path, self.name, kind, fields or {})
        if rows is None:
            return enumerate(self.lines(seen), 1)
        return self._watched(rows, seen)

    def _watched(
        self, rows: Iterator[tuple[int, bytes]], seen: Measured | None
    ) -> Iterator[tuple[int, bytes]]:
        with reading(self.name, self.path, "row") as place:
            for place.last, raw in rows:
                yield place.last, raw
        if seen:
            self._hold_still(seen, may_grow=False)

    def lines(self, seen: Measured | None = None) -> Iterator[bytes]:
        """The lines, split on \\n only, each with its line end.

        A line above the limit comes as `Unreadable`, for `decode_row` to refuse.

        Args:
            seen: stop at its bytes, so that a file which grows meanwhile is read as measured.

        Raises:
            UnfitNameError: as for `check_name`.
            MissingDataError: see `byte_lines`.
            ChangedInputError: the file is no longer what `seen` measured.
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
            self._hold_still(seen)

    def _hold_still(self, seen: Measured, *, may_grow: bool = True) -> None:
        size, changed = size_and_change(self.path)
        grew = may_grow and size > seen.bytes and not self.packed
        if not grew and (size, changed) != (seen.bytes, seen.changed_ns):
            raise ChangedInputError(
                f"{self.name}: changed while it was read; nothing was published. Run the same "
                "command again when its writer is done"
            )


def find_shards(inputs: Sequence[str], *, plain: bool = False) -> list[Shard]:
    """The files behind what the user typed, in order; a directory gives its shards by name, and
    is one shard where it holds no file of rows, but documents.

    Args:
        plain: the files hold lines of text, whatever their names stand for.

    Raises:
        MissingDataError: a path that does not exist or cannot be read, a pattern or directory
            without shards.
        UsageError: an empty name.
    """
    shards: list[Shard] = []
    for given in inputs:
        path = Path(given)
        if not given.strip():
            raise UsageError("an input without a name (an unset variable?); nothing was read")
        if given == STDIN:
            shards.append(_spooled(sys.stdin.buffer))
        elif os.path.isdir(path):
            inside = folder_inputs(path)
            if not inside:
                raise MissingDataError(f"{given}: a directory without shards; {expected()}")
            shards += [Shard(one, given if one == path else shown_name(one)) for one in inside]
        elif os.path.exists(path):
            refuse_convertible(path, shown_name(path))
            shards.append(Shard(path, shown_name(path), plain))
        elif is_pattern(given):
            base, pattern = split_pattern(given)
            matches = sorted(base.glob(pattern))
            files = [one for one in matches if is_row_file(one) or is_document(one)]
            tell_passed_over(given, {one for one in matches if one.is_file()} - set(files))
            if not files:
                raise MissingDataError(f"{given}: no file matches this pattern; {expected()}")
            shards += [Shard(file, shown_name(file), plain) for file in files]
        else:
            raise MissingDataError(missing_path_message(given))
    for shard in shards:
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
    """Well-formed rows with their places, for stages that fold many rows into one thing.

    Args:
        inputs: as for `find_shards`.
        fields: as for `decode_row`.
        check: raises RowError where a row breaks the reader's contract.
        on_reject: told of each line set aside; without it they are passed over.
    """
    return read_shards(find_shards(inputs), fields=fields, check=check, on_reject=on_reject)


def read_shards(
    shards: Iterable[Shard],
    *,
    fields: Mapping[str, str] | None = None,
    check: Callable[[Row], None] | None = None,
    on_reject: Callable[[Rejected], None] | None = None,
) -> Iterator[tuple[RowRef, Row]]:
    """As `read_rows`, of files that were found before."""
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
                away = set_aside(ref, raw, error)
                if on_reject and isinstance(away, Rejected):
                    on_reject(away)
                continue
            yield ref, row


def _spooled(stream: BinaryIO) -> Shard:
    """Standard input as a file: surveys, digests and a second look need one."""
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
