"""Files as byte streams, decompressed by suffix in bounded memory."""

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from prism_cli.files.zstd import ZstdFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = {
    ".gz": b"\x1f\x8b",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\0",
}
"""Suffixes that are decompressed, with the first bytes of such files."""
COMPRESSED = tuple(MAGIC)
"""Suffixes that are decompressed; their case does not matter."""
_CHUNK_BYTES = 1 << 20


def is_compressed(path: Path) -> bool:
    """Return whether `open_bytes` decompresses the file."""
    return path.suffix.lower() in COMPRESSED


def plain_name(path: Path) -> str:
    """Return the file's name in lower case, without the suffix of its compression."""
    name = path.name.lower()
    return name.removesuffix(path.suffix.lower()) if is_compressed(path) else name


def begins_compressed(path: Path) -> bool:
    """Return whether the file begins as its suffix says."""
    magic = MAGIC[path.suffix.lower()]
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


class _Unpacked(io.RawIOBase):
    """Gives what can be unpacked before an error, where `read` of such a file loses it."""

    def __init__(self, file: gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile) -> None:
        self._file = file

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill a part of `buffer`; 0 at the end."""
        target = memoryview(buffer)
        data = self._file.read1(len(target))
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file beneath."""
        self._file.close()
        super().close()


def open_bytes(path: Path) -> BinaryIO:
    """Open `path` for buffered reading.

    Reading raises EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, or an OSError without
    an errno where the compressed data is damaged; see `prism_cli.files.lines`.

    Raises:
        OSError: the file cannot be opened.
    """
    match path.suffix.lower():
        case ".gz":
            return io.BufferedReader(_Unpacked(gzip.open(path, "rb")), _CHUNK_BYTES)
        case ".bz2":
            return io.BufferedReader(_Unpacked(bz2.open(path, "rb")), _CHUNK_BYTES)
        case ".xz":
            return io.BufferedReader(_Unpacked(lzma.open(path, "rb")), _CHUNK_BYTES)
        case ".zst":
            return io.BufferedReader(ZstdFile(path), _CHUNK_BYTES)
        case _:
            return path.open("rb", buffering=_CHUNK_BYTES)
