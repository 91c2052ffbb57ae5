"""Inputs as byte lines: files (.gz and .zst by suffix), globs, directories, standard input."""

import gzip
import hashlib
import io
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from prism_cli.errors import ChangedInputError, MissingDataError, RowError
from prism_cli.rows.decode import MAX_LINE_BYTES, decode_row
from prism_cli.rows.row import Rejected, Row, RowRef
from prism_cli.shards.zstd import ZstdFile

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")
SIDE_FILES = (".rejects.jsonl", ".pending.jsonl")
STDIN = "-"
_PACKED = (".gz", ".zst")
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)
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


@dataclass(frozen=True, slots=True)
class Measured:
    """What a file held when it was looked at.

    Attributes:
        sha256: of its `bytes`, as hex.
        line_ends: how many bytes are a line end; says nothing about a packed file.
        changed_ns: its time of last change, in nanoseconds since the epoch.
    """

    bytes: int
    sha256: str
    line_ends: int
    changed_ns: int


@dataclass(frozen=True)
class Shard:
    """One input file.

    Attributes:
        path: where the bytes are (a spooled copy for standard input).
        name: what the user calls it; "-" for standard input.
    """

    path: Path
    name: str

    @property
    def packed(self) -> bool:
        """Whether its bytes are compressed."""
        return self.path.suffix in _PACKED

    def lines(self, seen: Measured | None = None) -> Iterator[bytes]:
        """The lines, split on \\n only, each with its line end.

        A line beyond MAX_LINE_BYTES comes cut there, for `decode_row` to refuse.

        Args:
            seen: stop at its bytes, so that a file which grows meanwhile is read as measured.

        Raises:
            MissingDataError: a compressed stream that is damaged; names the last good line.
            ChangedInputError: the file is no longer what `seen` measured.
        """
        number, left = 0, seen.bytes if seen and not self.packed else sys.maxsize
        with _open(self.path) as file:
            try:
                for line in iter(partial(file.readline, MAX_LINE_BYTES), b""):
                    number += 1
                    size = len(line)
                    if size == MAX_LINE_BYTES and not line.endswith(b"\n"):
                        left -= _skip_line(file)
                    left -= size
                    if left <= 0:
                        yield line[:left] if left else line
                        break
                    yield line
            except _DAMAGE as error:
                raise MissingDataError(
                    f"{self.name}: the compressed data is damaged after line {number} ({error}); "
                    "nothing was published. Restore the file and run the same command again"
                ) from error
        if seen:
            self._hold_still(seen)

    def _hold_still(self, seen: Measured) -> None:
        now = self.path.stat()
        grew = now.st_size > seen.bytes and not self.packed
        if not grew and (now.st_size, now.st_mtime_ns) != (seen.bytes, seen.changed_ns):
            raise ChangedInputError(
                f"{self.name}: changed while it was read; nothing was published. Run the same "
                "command again when its writer is done"
            )


def measure(path: Path, first_bytes: int | None = None) -> Measured:
    """Look at a file, or at its first bytes."""
    digest, size, ends = hashlib.sha256(), 0, 0
    left = first_bytes if first_bytes is not None else sys.maxsize
    with path.open("rb", buffering=0) as file:
        changed = os.fstat(file.fileno()).st_mtime_ns
        while left > size and (chunk := file.read(min(left - size, _CHUNK_BYTES))):
            digest.update(chunk)
            size += len(chunk)
            ends += chunk.count(b"\n")
    return Measured(size, digest.hexdigest(), ends, changed)


def find_shards(inputs: Sequence[str]) -> list[Shard]:
    """The files behind what the user typed, in order; a directory gives its shards by name.

    Raises:
        MissingDataError: a path that does not exist or cannot be read, a pattern or directory
            without shards.
    """
    shards: list[Shard] = []
    for given in inputs:
        path = Path(given)
        if given == STDIN:
            shards.append(_spooled(sys.stdin.buffer))
        elif path.is_dir():
            inside = [child for child in sorted(path.iterdir()) if _is_shard(child)]
            if not inside:
                raise MissingDataError(
                    f"{given}: a directory without shards; expected files that end in "
                    f"{', '.join(SUFFIXES)}"
                )
            shards += [Shard(child, str(child)) for child in inside]
        elif path.exists():
            shards.append(Shard(path, given))
        elif any(mark in given for mark in "*?["):
            base = Path(path.anchor) if path.is_absolute() else Path()
            matches = sorted(base.glob(str(path.relative_to(path.anchor))))
            files = [match for match in matches if _is_shard(match)]
            if not files:
                raise MissingDataError(f"{given}: no file matches this pattern")
            shards += [Shard(file, str(file)) for file in files]
        else:
            raise MissingDataError(f"{given}: no such file or directory")
    for shard in shards:
        if not shard.path.is_file() or not os.access(shard.path, os.R_OK):
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
        for number, raw in enumerate(shard.lines(), 1):
            if not raw.strip():
                continue
            ref = RowRef(shard.name, number)
            try:
                row = decode_row(raw, fields)
                if check:
                    check(row)
            except RowError as error:
                if on_reject:
                    on_reject(Rejected(ref, error.field, error.reason, raw))
                continue
            yield ref, row


def _is_shard(path: Path) -> bool:
    name = path.name
    return (
        path.is_file()
        and not name.startswith(".")
        and name.endswith(SUFFIXES)
        and not name.endswith(SIDE_FILES)
    )


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path, "rb"), _CHUNK_BYTES)
    if path.suffix == ".zst":
        return io.BufferedReader(ZstdFile(path), _CHUNK_BYTES)
    return path.open("rb", buffering=_CHUNK_BYTES)


def _skip_line(file: BinaryIO) -> int:
    """Read up to the end of the line; how many bytes that were."""
    skipped = 0
    while part := file.readline(_CHUNK_BYTES):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


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
