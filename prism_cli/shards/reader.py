"""Inputs as byte lines: files (.gz and .zst by suffix), globs, directories, standard input."""

import gzip
import hashlib
import io
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from prism_cli.errors import MissingDataError, RowError
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Rejected, Row, RowRef

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")
_SIDE_FILES = (".rejects.jsonl", ".pending.jsonl")
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)


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
    """One input file.

    Attributes:
        path: where the bytes are (a spooled copy for standard input).
        name: what the user calls it; "-" for standard input.
    """

    path: Path
    name: str

    def lines(self) -> Iterator[bytes]:
        """The lines, split on \\n only, each with its line end.

        Raises:
            MissingDataError: a compressed stream that is damaged; names the last good line.
        """
        number = 0
        with _open(self.path) as file:
            try:
                for line in file:
                    number += 1
                    yield line
            except _DAMAGE as error:
                raise MissingDataError(
                    f"{self.name}: the compressed data is damaged after line {number} ({error}); "
                    "nothing was published. Restore the file and run the same command again"
                ) from error

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes, as hex."""
        return file_digest(self.path)


def file_digest(path: Path, first_bytes: int | None = None) -> str:
    """SHA-256, as hex, of a file or of its first bytes."""
    digest = hashlib.sha256()
    left = first_bytes if first_bytes is not None else sys.maxsize
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def find_shards(inputs: Sequence[str]) -> list[Shard]:
    """The files behind what the user typed, in order; a directory gives its shards by name.

    Raises:
        MissingDataError: a path that does not exist, a pattern or directory without shards.
    """
    shards: list[Shard] = []
    for given in inputs:
        path = Path(given)
        if given == "-":
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
    for shard in find_shards(inputs):
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
        and not name.endswith(_SIDE_FILES)
    )


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path, "rb"))
    if path.suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(
            path.open("rb"), read_across_frames=True, closefd=True
        )
        return io.BufferedReader(reader, 1 << 20)
    return path.open("rb", buffering=1 << 20)


def _spooled(stream: BinaryIO) -> Shard:
    """Standard input as a file: surveys, digests and a second look need one."""
    with tempfile.NamedTemporaryFile(prefix="prism-stdin-", suffix=".jsonl", delete=False) as copy:
        while chunk := stream.read(1 << 20):
            copy.write(chunk)
    _TEMPORARY.append(Path(copy.name))
    return Shard(Path(copy.name), "-")


_TEMPORARY: list[Path] = []


def remove_spooled() -> None:
    """Delete the copies of standard input."""
    while _TEMPORARY:
        _TEMPORARY.pop().unlink(missing_ok=True)
