"""Atomic writing of files: temporary file, fsync, rename, fsync of the directory."""

import bz2
import gzip
import io
import lzma
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from prism_cli.errors import LockedError
from prism_cli.files.digest import StreamDigest
from prism_cli.shards.file_creation import create_file, new_attempt
from prism_cli.shards.file_guard import check_folder
from prism_cli.shards.formats.parquet_rows import ParquetRows
from prism_cli.shards.storage_errors import storage_errors

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK_BYTES = 1 << 20
_PART = re.compile(r"\.(.+?)(\.[0-9a-f]{12})?\.part", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """Record of a published file: bytes on the disk, after compression.

    Attributes:
        sha256: of these bytes, as hex.
        changed_ns: time of last change, in nanoseconds since the epoch.
        version: etag of the object, if the file was uploaded to a store.
    """

    bytes: int
    sha256: str
    changed_ns: int
    version: str = ""


class PartFile:
    """Unpublished file at `.NAME.ATTEMPT.part`; compressed by suffix (.gz, .zst, .bz2, .xz), or of
    rows as Parquet (.parquet).

    Args:
        attempt: name of the attempt; a new one by default.
        follow: replace the target of a symbolic link at `path`, not the link.
        private: make the file readable by its owner only.
    """

    def __init__(
        self, path: Path, *, attempt: str = "", follow: bool = False, private: bool = False
    ) -> None:
        self.path = path.resolve() if follow and path.is_symlink() else path
        self.part = part_path(self.path, attempt or new_attempt())
        self.record: OutputRecord | None = None
        self._storage = _storage(path)
        with self._storage:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._raw = _Digested(create_file(self.part, private=private), "wb")
        self._file = cast(BinaryIO, io.BufferedWriter(self._raw, _CHUNK_BYTES))
        self._stream = _compressed(self._file, self.path)

    def write(self, data: bytes) -> None:
        """Append data; the buffer holds 1 MiB."""
        with self._storage:
            self._stream.write(data)

    def finish(self) -> None:
        """Flush everything to the disk, without renaming, and set `record`."""
        with self._storage:
            if self._stream is not self._file:
                self._stream.close()
                self._stream = self._file  # release the compressor's memory
            self._file.flush()
            os.fsync(self._file.fileno())
            changed = os.fstat(self._file.fileno()).st_mtime_ns
            self._file.close()
        self.record = OutputRecord(self._raw.size, self._raw.digest.hexdigest(), changed)

    def publish(self) -> None:
        """Rename to the final name, durably; call `finish` before.

        Raises:
            LockedError: another run or program removed the unpublished file.
            StorageError: the folder was removed, or cannot be written.
        """
        check_folder(self.path)
        with self._storage:
            try:
                self.part.replace(self.path)
            except FileNotFoundError:
                raise LockedError(
                    f"{self.path}: its unfinished file was removed, by another run on this output "
                    "or by somebody; this one stops without publishing it. The replies so far are "
                    "kept: the same command goes on"
                ) from None
            sync_directory(self.path.parent)

    def discard(self) -> None:
        """Remove the unpublished file; safe at any time, also after `publish`."""
        with suppress(OSError, ValueError):  # a full disk refuses the last bytes too
            if isinstance(self._stream, ParquetRows):
                self._stream.discard()
            self._stream.close()
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)


class _Digested(io.FileIO):
    """File that computes the SHA-256 of what is written to it."""

    def __init__(self, descriptor: int, mode: str) -> None:
        super().__init__(descriptor, mode)
        self.digest = StreamDigest()
        self.size = 0

    def write(self, data: "ReadableBuffer") -> int:
        count = super().write(data)
        self.digest.update(bytes(memoryview(data)[:count]))
        self.size += count
        return count


@contextmanager
def whole_file(path: Path, *, follow: bool = False) -> Iterator[PartFile]:
    """Yield a file that is published after the block, or removed after an error.

    Args:
        follow: as for `PartFile`.
    """
    part = PartFile(path, follow=follow)
    try:
        yield part
        part.finish()
        part.publish()
    finally:
        part.discard()


def part_path(path: Path, attempt: str) -> Path:
    """.NAME.ATTEMPT.part"""
    return path.with_name(f".{path.name}.{attempt}.part")


def leftover_parts(folder: Path) -> dict[str, list[Path]]:
    """Return the unpublished files in a folder by final name."""
    parts: dict[str, list[Path]] = {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if match := _PART.fullmatch(entry.name):
                parts.setdefault(match[1], []).append(folder / entry.name)
    return parts


def remove_parts(parts: Iterable[Path]) -> None:
    """Remove unpublished files of killed attempts. The caller holds the lock of the output."""
    for part in parts:
        with suppress(OSError):  # `whole_folder` leaves folders
            part.unlink(missing_ok=True)


def remove_file(path: Path) -> None:
    """Remove the file at `path`, if there is one, durably."""
    with _storage(path), suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def flush_file(path: Path) -> None:
    """Flush a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(folder: Path) -> None:
    """Flush the entries of a folder to the disk, so that renames are durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _compressed(file: BinaryIO, path: Path) -> BinaryIO | ParquetRows:
    match path.suffix.lower():
        case ".parquet":
            return ParquetRows(file, path)
        case ".gz":  # no time stamp and no name inside: same rows, same bytes
            return cast(BinaryIO, gzip.GzipFile("", "wb", 6, fileobj=file, mtime=0))
        case ".zst":
            return zstandard.ZstdCompressor(write_checksum=True).stream_writer(file, closefd=False)
        case ".bz2":
            return cast(BinaryIO, bz2.BZ2File(file, "wb"))
        case ".xz":
            return cast(BinaryIO, lzma.LZMAFile(file, "wb"))
        case _:
            return file


def sweep_folder(folder: Path) -> None:
    """Remove unpublished files of killed attempts in an output folder, whose lock is held."""
    for parts in leftover_parts(folder).values():
        remove_parts(parts)


def _storage(path: Path) -> storage_errors:
    return storage_errors(path, "nothing was published and the replies so far are kept")
