"""Files as UTF-8 text: runs, judgements, recipes, rubrics, sheets and whatever else people write.

A byte order mark at the start is left out, and compressed files are decompressed by suffix.
"""

from collections.abc import Iterator
from pathlib import Path

from prism_cli.errors import MissingDataError
from prism_cli.files.lines import byte_lines, too_long


def text_lines(path: Path, name: str = "") -> Iterator[str]:
    """Yield the lines of a file without their ends (\\n or \\r\\n).

    Args:
        name: of the file in messages; its path by default.

    Raises:
        MissingDataError: the file cannot be read, is damaged or not UTF-8, or has a line above the
            limit; names the line.
    """
    for text in _whole_lines(path, name):
        yield text.rstrip("\r\n")


def read_text(path: Path, name: str = "") -> str:
    """Return the text of a file, line ends as they are.

    Raises:
        MissingDataError: as for `text_lines`.
    """
    return "".join(_whole_lines(path, name))


def _whole_lines(path: Path, name: str) -> Iterator[str]:
    name = name or str(path)
    for number, line in enumerate(byte_lines(path, name), 1):
        if line.cut:
            raise MissingDataError(f"{name}:{number}: {too_long()}; nothing was read beyond this")
        try:
            text = line.raw.decode()
        except UnicodeDecodeError as error:
            raise MissingDataError(
                f"{name}:{number}: not UTF-8: byte 0x{line.raw[error.start]:02x} at offset "
                f"{error.start}; nothing was read beyond this. Save the file as UTF-8"
            ) from None
        yield text
