"""Zstandard files as byte streams that detect truncated files."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_INPUT_BYTES = 1 << 10
"""Few bytes can encode a block of 128 KiB: this size bounds the output of one step to about 32
MiB."""
MAX_WINDOW_BYTES = 1 << 31
"""Largest window that the format's reference implementation reads; memory grows with the window."""


class ZstdFile(io.RawIOBase):
    """Reads all frames of a .zst file. zstandard's own reader does not detect a truncated file.

    Holds the window of one frame in memory: usually 8 MiB, up to 2 GiB for `zstd --long=31`.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = _new_frame()
        self._inside = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill `buffer`; return 0 at the end.

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
        """Close the underlying file."""
        self._file.close()
        super().close()


def _new_frame() -> "zstandard.ZstdDecompressionObj":
    return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
