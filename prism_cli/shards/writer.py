"""Files appear whole or not at all: temporary file, fsync, rename, fsync of the directory."""

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
from prism_cli.shards.creation import create_file, new_attempt
from prism_cli.shards.guard import check_folder
from prism_cli.shards.storage_errors import storage_errors

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK_BYTES = 1 << 20
_PART = re.compile(r"\.(.+?)(\.[0-9a-f]{12})?\.part", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """What was written: the bytes on the disk, packed ones as packed.

    Attributes:
        sha256: as hex.
        changed_ns: the file's time of last change, in nanoseconds since the epoch.
    """

    bytes: int
    sha256: str
    changed_ns: int


class PartFile:
    """A file in the making, at `.NAME.ATTEMPT.part` beside its place; compressed by suffix (.gz,
    .zst, .bz2, .xz).

    Args:
        attempt: by default one of its own.
        follow: what a symbolic link at `path` leads to is replaced, not the link.
        private: readable by its owner alone.
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
        """Append; buffered up to 1 MiB."""
        with self._storage:
            self._stream.write(data)

    def finish(self) -> None:
        """Everything written and on the disk, under the part's name still; sets `record`."""
        with self._storage:
            if self._stream is not self._file:
                self._stream.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            changed = os.fstat(self._file.fileno()).st_mtime_ns
            self._file.close()
        self.record = OutputRecord(self._raw.size, self._raw.digest.hexdigest(), changed)

    def publish(self) -> None:
        """Rename to the final name, durably. After `finish`.

        Raises:
            LockedError: another run took the part for that of a dead one, and removed it.
            StorageError: the folder is gone, or cannot be written.
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
        """Remove what was written; safe at any time, also after `publish`."""
        with suppress(OSError, ValueError):  # a full disk refuses the last bytes too
            self._stream.close()
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)


class _Digested(io.FileIO):
    """A file that knows the SHA-256 of what was written to it."""

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
    """Write a file that is published when the block ends well, and leaves nothing otherwise.

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
    """The parts in a folder, by the name that they were to get."""
    found: dict[str, list[Path]] = {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if match := _PART.fullmatch(entry.name):
                found.setdefault(match[1], []).append(folder / entry.name)
    return found


def remove_parts(parts: Iterable[Path]) -> None:
    """Remove files that dead attempts left. The caller holds the lock of what they were to be."""
    for part in parts:
        with suppress(OSError):  # it may be a folder: `whole_folder` has parts of its own
            part.unlink(missing_ok=True)


def remove_file(path: Path) -> None:
    """Make sure, durably, that there is no file at `path`."""
    with _storage(path), suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def flush_file(path: Path) -> None:
    """Make what was written to a file durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _compressed(file: BinaryIO, path: Path) -> BinaryIO:
    match path.suffix.lower():
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
    """Remove what dead attempts left of all files in a folder of ours, whose lock is held."""
    for parts in leftover_parts(folder).values():
        remove_parts(parts)


def _storage(path: Path) -> storage_errors:
    return storage_errors(path, "nothing was published and the replies so far are kept")
