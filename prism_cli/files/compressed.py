"""Files as byte streams, decompressed by suffix in bounded memory."""

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

MAGIC = {
    ".gz": b"\x1f\x8b",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\0",
}
"""Suffixes that are decompressed, with the first bytes of such files."""
COMPRESSED = tuple(MAGIC)
"""Suffixes that are decompressed, in any case."""
_CHUNK_BYTES = 1 << 20
_ZSTD_INPUT_BYTES = 1 << 10
"""Few bytes can encode a block of 128 KiB: this size bounds the output of one step to about 32
MiB."""
MAX_WINDOW_BYTES = 1 << 31
"""Largest window that zstd's reference implementation reads; memory grows with the window."""


def is_compressed(path: Path) -> bool:
    """Return whether `open_bytes` decompresses the file."""
    return path.suffix.lower() in COMPRESSED


def plain_name(path: Path) -> str:
    """Return the file's name without the suffix of its compression."""
    return path.stem if is_compressed(path) else path.name


def plain_or_compressed(path: Path) -> Path | None:
    """Return the path of the plain or compressed file; None if there is none."""
    paths = (path.with_name(path.name + suffix) for suffix in ("", *COMPRESSED))
    return next(filter(Path.is_file, paths), None)


def begins_compressed(path: Path) -> bool:
    """Return whether the file begins with the magic bytes of its suffix."""
    magic = MAGIC[path.suffix.lower()]
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


class _Stream(io.RawIOBase):
    """A compressed file as a stream of the data that `_part` returns."""

    def __init__(self, file: "BinaryIO | gzip.GzipFile") -> None:
        self._file = file

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill a part of `buffer`; 0 at the end."""
        target = memoryview(buffer)
        data = self._part(len(target))
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the underlying file."""
        self._file.close()
        super().close()

    def _part(self, most: int) -> bytes | memoryview:
        """Return at least one byte and at most `most`; none at the end."""
        raise NotImplementedError


class _Unpacked(_Stream):
    """Returns the data before an error, which `read` of such a file would lose."""

    def __init__(self, file: gzip.GzipFile) -> None:
        super().__init__(file)
        self._gzip = file

    def _part(self, most: int) -> bytes:
        return self._gzip.read1(most)


class _Streams(_Stream):
    """Concatenated streams of bzip2 or xz. Python's classes treat any data after the first stream
    as the end of the file; here it is another stream, padding (zeros) or damage."""

    def __init__(
        self, path: Path, begin: "Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]"
    ) -> None:
        super().__init__(path.open("rb"))
        self._begin = begin
        self._stream = begin()
        self._pending = b""
        self._between = False

    def _part(self, most: int) -> bytes:
        output = b""
        while not output:
            data = b""
            if self._stream.needs_input:
                data, self._pending = self._pending or self._file.read(_CHUNK_BYTES), b""
                if not data and self._between:
                    return b""
                if not data:
                    raise EOFError("the file ends within a compressed stream")
                if self._between and not (data := data.lstrip(b"\0")):
                    continue
                self._between = False
            output = self._stream.decompress(data, most)
            if self._stream.eof:
                self._pending = self._stream.unused_data
                self._stream, self._between = self._begin(), True
        return output


class _Zstandard(_Stream):
    """All frames of a .zst file. zstandard's own reader does not detect a truncated file.

    Holds the window of one frame in memory: usually 8 MiB, up to 2 GiB for `zstd --long=31`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb"))
        self._frame = _new_frame()
        self._inside = False
        self._ready = memoryview(b"")

    def _part(self, most: int) -> memoryview:
        while not self._ready:
            packed = b""
            if self._frame.eof:
                packed = self._frame.unused_data
                self._frame, self._inside = _new_frame(), False
            packed = packed or self._file.read(_ZSTD_INPUT_BYTES)
            if not packed:
                if self._inside:
                    raise EOFError("the file ends inside a frame")
                break
            self._inside = True
            self._ready = memoryview(self._frame.decompress(packed))
        part, self._ready = self._ready[:most], self._ready[most:]
        return part


def _new_frame() -> "zstandard.ZstdDecompressionObj":
    return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()


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
            return io.BufferedReader(_Streams(path, bz2.BZ2Decompressor), _CHUNK_BYTES)
        case ".xz":
            return io.BufferedReader(_Streams(path, lzma.LZMADecompressor), _CHUNK_BYTES)
        case ".zst":
            return io.BufferedReader(_Zstandard(path), _CHUNK_BYTES)
        case _:
            return path.open("rb", buffering=_CHUNK_BYTES)
