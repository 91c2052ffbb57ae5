"""Zstandard files as byte streams that notice when the file was cut short."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_INPUT_BYTES = 1 << 10
"""A few bytes can stand for a block of 128 KiB: what one step unpacks stays below some 32 MiB."""
MAX_WINDOW_BYTES = 1 << 31
"""The largest that the format's reference implementation reads; memory grows with the window."""


class ZstdFile(io.RawIOBase):
    """Reads all frames of a .zst file. zstandard's own reader takes a cut file for a short one.

    Holds the window of one frame in memory: 8 MiB as a rule, up to 2 GiB for `zstd --long=31`.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = _new_frame()
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
                self._frame = _new_frame()
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


def _new_frame() -> "zstandard.ZstdDecompressionObj":
    return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
