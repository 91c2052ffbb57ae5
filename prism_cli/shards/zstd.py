"""Zstandard files as byte streams that notice when the file was cut short."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_INPUT_BYTES = 1 << 15


class ZstdFile(io.RawIOBase):
    """Reads all frames of a .zst file. zstandard's own reader takes a cut file for a short one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill `buffer`; 0 at the end.

        Raises:
            EOFError: the file ends inside a frame.
            zstandard.ZstdError: not zstandard, or damaged.
        """
        while not self._ready:
            packed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
                self._inside = False
            packed = packed or self._file.read(_INPUT_BYTES)
            if not packed:
                if self._inside:
                    raise EOFError("the file ends inside a frame")
                return 0
            self._inside = True
            self._ready = memoryview(self._frame.decompress(packed))
        target = memoryview(buffer)
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        """Close the file beneath."""
        self._file.close()
        super().close()
