"""Inputs that are no JSON lines, told by their names, as numbered JSON lines."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Literal

from prism_cli.shards.formats.documents import document_lines, is_document
from prism_cli.shards.formats.json_array import array_lines, holds_array
from prism_cli.shards.formats.parquet import parquet_lines
from prism_cli.shards.formats.table import table_lines

Format = Literal["lines", "csv", "tsv", "json", "parquet", "documents"]
_BY_SUFFIX: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".json": "json"}
_PACKED = (".gz", ".zst")
ROW_SUFFIXES = (".csv", ".tsv", ".parquet", ".json")
"""Of files of rows, besides JSON lines."""


def format_of(path: Path) -> Format:
    """The format that the name of a file stands for; a folder is one of documents."""
    name = path.name.lower()
    if path.is_dir() or is_document(path):
        return "documents"
    if name.endswith(".parquet"):
        return "parquet"
    return _BY_SUFFIX.get(Path(_unpacked(name)).suffix, "lines")


def stem_of(path: Path) -> str:
    """The name of an input without what tells its format."""
    return Path(_unpacked(path.name)).stem if path.is_file() else path.name


def numbered_lines(
    path: Path,
    name: str,
    kind: Format,
    fields: Mapping[str, str],
    opened: Callable[[Path], BinaryIO],
) -> Iterator[tuple[int, bytes]] | None:
    """(number, JSON line) for each row; None where the file holds one object a line as it is.

    A number is that of the record's first line (CSV, TSV), of the row (Parquet), of the element
    (JSON array) or of the file (documents), from 1.

    Args:
        name: of the file, for messages.
        fields: contract name -> name in the file.
        opened: opens a file, unpacked.
    """
    if kind == "parquet":
        return parquet_lines(path, name)
    if kind == "documents":
        return document_lines(path)
    if kind == "json":
        with opened(path) as file:
            if not holds_array(file):
                return None
    return None if kind == "lines" else _of_open_file(path, name, kind, fields, opened)


def _of_open_file(
    path: Path,
    name: str,
    kind: Format,
    fields: Mapping[str, str],
    opened: Callable[[Path], BinaryIO],
) -> Iterator[tuple[int, bytes]]:
    with opened(path) as file:
        if kind == "json":
            yield from array_lines(file, name)
        else:
            yield from table_lines(file, name, fields, tabs=kind == "tsv")


def _unpacked(name: str) -> str:
    return name[: name.rindex(".")] if name.lower().endswith(_PACKED) else name
