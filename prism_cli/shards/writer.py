"""Files appear whole or not at all: temporary file, fsync, rename, fsync of the directory."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from prism_cli.errors import StorageError

_CHUNK_BYTES = 1 << 20


class PartFile:
    """A file in the making, at `.NAME.part` beside its place; compressed by suffix (.gz, .zst).

    The caller holds the lock of the output, so the name of the part is free; what a killed run
    left there is replaced. A symbolic link stays one: the file behind it is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve() if path.is_symlink() else path
        self.part = self.path.with_name(f".{self.path.name}.part")
        with _storage(path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.part.open("wb", buffering=_CHUNK_BYTES)
        self._stream = _compressed(self._file, self.path)

    def write(self, data: bytes) -> None:
        """Append; buffered up to 1 MiB."""
        try:
            self._stream.write(data)
        except OSError as error:
            raise _refusal(self.path, error) from error

    def finish(self) -> None:
        """Everything written and on the disk, under the part's name still."""
        with _storage(self.path):
            if self._stream is not self._file:
                self._stream.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def publish(self) -> None:
        """Rename to the final name, durably. After `finish`."""
        with _storage(self.path):
            self.part.replace(self.path)
            sync_directory(self.path.parent)

    def discard(self) -> None:
        """Remove what was written; safe at any time, also after `publish`."""
        with suppress(OSError, ValueError):  # a full disk refuses the last bytes too
            self._stream.close()
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[PartFile]:
    """Write a file that is published when the block ends well, and leaves nothing otherwise."""
    part = PartFile(path)
    try:
        yield part
        part.finish()
        part.publish()
    finally:
        part.discard()


def remove_file(path: Path) -> None:
    """Make sure, durably, that there is no file at `path`."""
    with _storage(path), suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def sync_directory(folder: Path) -> None:
    """Make renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _compressed(file: BinaryIO, path: Path) -> BinaryIO:
    if path.suffix == ".gz":  # no time stamp and no name inside: same rows, same bytes
        return cast(BinaryIO, gzip.GzipFile("", "wb", 6, fileobj=file, mtime=0))
    if path.suffix == ".zst":
        return zstandard.ZstdCompressor(write_checksum=True).stream_writer(file, closefd=False)
    return file


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: cannot be written: {error.strerror or error}; nothing was published and the "
        "replies so far are kept: make room, then run the same command again"
    )
