"""Lines of a file as bytes, with a limit on their length, so that memory is bounded."""

import codecs
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from prism_cli.errors import ConfigError, MissingDataError
from prism_cli.files.compressed import (
    MAX_WINDOW_BYTES,
    begins_compressed,
    is_compressed,
    open_bytes,
)

LIMIT_VARIABLE = "PRISM_MAX_LINE_BYTES"
MAX_LINE_BYTES = 64 << 20
_BOUNDS = (1 << 10, 1 << 30)
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError)
_CHUNK_BYTES = 1 << 20
_LEAST_PAIRS = 4
"""Least number of byte pairs at the beginning of a text for detecting UTF-16 without a mark."""
_UTF16 = "UTF-16 text; save the file as UTF-8 (`iconv -f {0} -t utf-8`)"
_KEPT_BYTES = 1 << 16
"""Bytes that are kept of a line above the limit."""
_AS_UTF8 = "nothing was read. Save the file as UTF-8 (`iconv -f {0} -t utf-8`)"
_FOREIGN = {
    codecs.BOM_UTF32_LE: "UTF-32; " + _AS_UTF8.format("utf-32"),
    codecs.BOM_UTF32_BE: "UTF-32; " + _AS_UTF8.format("utf-32"),
    codecs.BOM_UTF16_LE: "UTF-16; " + _AS_UTF8.format("utf-16"),
    codecs.BOM_UTF16_BE: "UTF-16; " + _AS_UTF8.format("utf-16"),
    b"\x1f\x8b": "gzip data; nothing was read. Name the file .gz after its other suffix",
    b"\x28\xb5\x2f\xfd": "Zstandard data; nothing was read. Name the file .zst after its suffix",
    b"\xfd7zXZ\0": "xz data; nothing was read. Name the file .xz after its other suffix",
    b"BZh91AY&SY": "bzip2 data; nothing was read. Name the file .bz2 after its other suffix",
    b"PAR1": "Parquet data; nothing was read. Name the file .parquet",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet; nothing was read. Unpack it, or save it as CSV",
    b"%PDF-": "a PDF; nothing was read. Name the file .pdf",
}
"""First bytes of files that are not text -> description and remedy."""
_HTML = re.compile(rb"\s*<(?:!doctype html|html)", re.I)


class PartialLine(bytes):
    """A line without its byte order mark, or the beginning of one above the limit.

    Attributes:
        size: bytes of the line in the file (after decompression), including the mark.
        cut: True if the line is above the limit.
    """

    size: int
    cut: bool

    def __new__(cls, raw: bytes, size: int, *, cut: bool = False) -> "PartialLine":
        self = super().__new__(cls, raw)
        self.size, self.cut = size, cut
        return self


def is_cut(line: bytes) -> bool:
    """Return whether a line of `byte_lines` is the beginning of one above the limit."""
    return isinstance(line, PartialLine) and line.cut


def size_in_file(line: bytes) -> int:
    """Return the number of bytes of a line of `byte_lines` in its file."""
    return line.size if isinstance(line, PartialLine) else len(line)


def max_line_bytes() -> int:
    """Return the limit of one line in bytes: $PRISM_MAX_LINE_BYTES, else 64 MiB.

    Raises:
        ConfigError: the variable is not a number from 1 KiB to 1 GiB.
    """
    value = os.environ.get(LIMIT_VARIABLE, "")
    if not value:
        return MAX_LINE_BYTES
    low, high = _BOUNDS
    digits = value.isascii() and value.isdecimal() and len(value) <= 10
    if not digits or not low <= int(value) <= high:
        raise ConfigError(
            [f"{LIMIT_VARIABLE}: expected bytes from {low} to {high}, found {value[:40]!r}"]
        )
    return int(value)


def byte_lines(path: Path, name: str = "", *, keep_mark: bool = False) -> Iterator[bytes]:
    """Yield the lines of a file with their ends, split on \\n only, without the byte order mark; of
    a line above the limit only the beginning (see `PartialLine`).

    Args:
        name: name of the file in messages; its path by default.
        keep_mark: keep the byte order mark in the first line.

    Raises:
        MissingDataError: the file cannot be read, its compressed data is damaged, or it is UTF-16.
    """
    name = name or str(path)
    with reading(name, path) as place, open_bytes(path) as file:
        for place.last, line in enumerate(split_lines(file, keep_mark=keep_mark), 1):
            if place.last == 1:
                refuse_foreign(line, name)
            yield line


def refuse_foreign(raw: bytes, name: str) -> None:
    """Raise MissingDataError for a file that begins unlike UTF-8 text in lines.

    Args:
        raw: first line of the file.
    """
    description = foreign(raw)
    if not description and (code := _utf16(raw)):
        description = f"UTF-16 without its mark; {_AS_UTF8.format(code)}"
    if description:
        raise MissingDataError(f"{name}: is {description}")
    if _HTML.match(raw):
        raise MissingDataError(
            f"{name}: is HTML; nothing was read. Save its text as .txt or .md, or its rows "
            "as .jsonl or .csv"
        )
    json = raw[:1] in (b"{", b"[")  # CR is a blank in JSON, except between two rows
    lone = b"\n" not in raw and b"\r" in raw.strip()
    if lone and (not json or re.search(rb"[\]}][^\S\r]*\r\s*[\[{]", raw)):
        raise MissingDataError(
            f"{name}: its lines end in CR alone, as on old Macintoshes; nothing was read. Convert "
            "it: `tr '\\r' '\\n' < OLD > NEW`"
        )


def foreign(raw: bytes) -> str:
    """Return what a file that begins so is instead of UTF-8 text, with a remedy; or ""."""
    return next(
        (description for magic, description in _FOREIGN.items() if raw.startswith(magic)), ""
    )


def split_lines(file: BinaryIO, *, keep_mark: bool = False) -> Iterator[bytes]:
    """Yield the lines of an open file; see `byte_lines`."""
    limit = max_line_bytes()
    first = not keep_mark
    while line := file.readline(limit + 1):
        if len(line) > limit:
            line = PartialLine(line[:_KEPT_BYTES], len(line) + _rest(line, file), cut=True)
        if first and line.startswith(codecs.BOM_UTF8):
            raw = line.removeprefix(codecs.BOM_UTF8)
            line = PartialLine(raw, size_in_file(line), cut=is_cut(line))
        first = False
        yield line


def _rest(line: bytes, file: BinaryIO) -> int:
    """Read to the end of a line, and return the number of bytes read."""
    size, part = 0, line
    while not part.endswith(b"\n") and (part := file.readline(_CHUNK_BYTES)):
        size += len(part)
    return size


def too_long(what: str = "line") -> str:
    """Return the problem of a line that is cut, with a remedy."""
    return f"a {what} of more than {max_line_bytes()} bytes; {LIMIT_VARIABLE} sets another limit"


def bad_byte(raw: bytes, error: UnicodeDecodeError) -> str:
    """Return which byte of `raw` is not UTF-8."""
    return f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}"


def not_utf8(raw: bytes, error: UnicodeDecodeError) -> str:
    """Return which byte of `raw` is not UTF-8, its likely encoding, and a remedy."""
    if code := _utf16(raw):
        return _UTF16.format(code)
    windows = 0x80 <= raw[error.start] <= 0x9F  # control characters in Latin-1
    code, name = ("cp1252", "Windows-1252") if windows else ("latin1", "Latin-1")
    return f"{bad_byte(raw, error)} ({name} perhaps: `iconv -f {code} -t utf-8`)"


def _utf16(raw: bytes) -> str:
    """Return iconv's name of the encoding of text in UTF-16; "" for other text."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = raw[:64]
    even, odd = start[::2].count(0), start[1::2].count(0)
    most, least = max(even, odd), min(even, odd)
    # One byte of each pair is NUL, rarely the other; a single NUL or a block of zeros is damage.
    if most < _LEAST_PAIRS or most * 3 <= len(start) or least * 4 > most:
        return ""
    return "utf-16le" if odd == most else "utf-16be"


def holds_nul(raw: bytes) -> str:
    """Return the problem of a line with a NUL byte; "" without one.

    Every other byte of ASCII text in UTF-16 is NUL, and a file may lack a byte order mark.
    """
    if b"\0" not in raw:
        return ""
    if code := _utf16(raw):
        return _UTF16.format(code)
    return f"a NUL byte at offset {raw.index(0)}"


class Place:
    """The position of a reader.

    Attributes:
        last: number of the last complete line or row, from 1; 0 before the first.
    """

    last = 0


@contextmanager
def reading(name: str, path: Path, unit: str = "line") -> Iterator[Place]:
    """Convert an error of a file or its decompression to one that names the file.

    Args:
        path: the file.
        unit: the unit of the place.

    Raises:
        MissingDataError: the file cannot be read, or its compressed data is damaged.
    """
    place = Place()
    try:
        yield place
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise MissingDataError(f"{name}: cannot be read: {error.strerror}") from error
        if _no_beginning(error) and is_compressed(path) and not begins_compressed(path):
            raise MissingDataError(
                f"{name}: is not the compressed data that its suffix indicates ({error}); nothing "
                "was read. Name it without that suffix where it is not compressed, else restore it"
            ) from error
        if isinstance(error, zstandard.ZstdError) and "too much memory" in str(error):
            raise MissingDataError(
                f"{name}: needs a window of more than {MAX_WINDOW_BYTES >> 30} GiB, the most that "
                "prism reads; nothing was read. Decompress it, or compress it with a smaller "
                "window (`zstd --long=27`)"
            ) from error
        raise MissingDataError(
            f"{name}: the compressed data is damaged after {unit} {place.last} ({error}); nothing "
            "was published. Restore the file and run the same command again"
        ) from error


def _no_beginning(error: Exception) -> bool:
    """Return whether the error is about data that does not begin like compressed data."""
    return any(
        reason in str(error)
        for reason in ("Not a gzipped", "not supported by decoder", "Invalid data", "Unknown frame")
    )
