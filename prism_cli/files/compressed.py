"""Files as byte streams, decompressed by suffix in bounded memory."""

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import BinaryIO, cast

from prism_cli.files.zstd import ZstdFile

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
"""Suffixes that are decompressed; their case does not matter."""
_CHUNK_BYTES = 1 << 20


def is_compressed(path: Path) -> bool:
    """Return whether `open_bytes` decompresses the file."""
    return path.suffix.lower() in COMPRESSED


def plain_name(path: Path) -> str:
    """Return the file's name in lower case, without the suffix of its compression."""
    name = path.name.lower()
    return name.removesuffix(path.suffix.lower()) if is_compressed(path) else name


def open_bytes(path: Path) -> BinaryIO:
    """Open `path` for buffered reading.

    Reading raises EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, or an OSError without
    an errno where the compressed data is damaged; see `prism_cli.files.lines`.

    Raises:
        OSError: the file cannot be opened.
    """
    match path.suffix.lower():
        case ".gz":
            return io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb")), _CHUNK_BYTES)
        case ".bz2":
            return io.BufferedReader(cast(io.RawIOBase, bz2.open(path, "rb")), _CHUNK_BYTES)
        case ".xz":
            return io.BufferedReader(cast(io.RawIOBase, lzma.open(path, "rb")), _CHUNK_BYTES)
        case ".zst":
            return io.BufferedReader(ZstdFile(path), _CHUNK_BYTES)
        case _:
            return path.open("rb", buffering=_CHUNK_BYTES)
