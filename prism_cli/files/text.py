"""Files as UTF-8 text: runs, judgements, recipes, rubrics, sheets and other files that people
write.

A byte order mark at the start is removed, and compressed files are decompressed by suffix.
"""

import io
from collections.abc import Iterator
from pathlib import Path

from prism_cli.errors import MissingDataError
from prism_cli.files.compressed import open_bytes
from prism_cli.files.lines import (
    byte_lines,
    holds_nul,
    is_cut,
    max_line_bytes,
    not_utf8,
    reading,
    refuse_foreign,
    split_lines,
    too_long,
)


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file without their ends (\\n or \\r\\n).

    Raises:
        MissingDataError: the file cannot be read or is damaged, or a line is not UTF-8, has a NUL
            byte or is above the limit; names the line.
    """
    for number, line in enumerate(byte_lines(path), 1):
        yield _decoded(line, f"{path}:{number}").rstrip("\r\n")


def read_text(path: Path) -> str:
    """Return the text of a file with its line ends.

    Raises:
        MissingDataError: as for `text_lines`; or the file is above the limit of a line.
    """
    content = read_bytes(path)
    refuse_foreign(content, str(path))
    lines = enumerate(split_lines(io.BytesIO(content)), 1)
    return "".join(_decoded(line, f"{path}:{number}") for number, line in lines)


def read_bytes(path: Path, name: str = "") -> bytes:
    """Return the content of a small file, decompressed.

    Raises:
        MissingDataError: the file cannot be read, is damaged, or is above the limit of a line.
    """
    name = name or str(path)
    with reading(name, path), open_bytes(path) as file:
        content = file.read(max_line_bytes() + 1)
    if len(content) > max_line_bytes():
        raise MissingDataError(f"{name}: {too_long('file')}")
    return content


def _decoded(line: bytes, place: str) -> str:
    if is_cut(line):
        raise MissingDataError(f"{place}: {too_long()}; nothing was read beyond this")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise MissingDataError(
            f"{place}: {not_utf8(line, error)}; nothing was read beyond this. Save the file as "
            "UTF-8"
        ) from None
    if reason := holds_nul(line):
        raise MissingDataError(f"{place}: {reason}; nothing was read beyond this")
    return text
