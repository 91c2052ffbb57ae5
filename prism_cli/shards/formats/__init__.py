"""Readers of inputs in other formats than JSON Lines, recognised by the names of files."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from prism_cli.files.compressed import is_compressed, open_bytes, plain_name
from prism_cli.shards.formats.documents import document_lines, is_document
from prism_cli.shards.formats.json_array import array_lines, holds_array
from prism_cli.shards.formats.parquet import parquet_lines
from prism_cli.shards.formats.table import table_lines

Format = Literal["lines", "csv", "tsv", "json", "parquet", "documents"]
_BY_SUFFIX: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".json": "json"}
ROW_SUFFIXES = (".csv", ".tsv", ".parquet", ".json")
"""Suffixes of row files besides those of JSON Lines."""


def format_of(path: Path) -> Format:
    """Return the format that a name implies; "documents" for a folder."""
    name = path.name.lower()
    if os.path.isdir(path) or is_document(path):  # no error if the name is too long
        return "documents"
    if name.endswith(".parquet"):
        return "parquet"
    return _BY_SUFFIX.get(os.path.splitext(plain_name(path).lower())[1], "lines")


def is_misread(path: Path, kind: Format) -> bool:
    """Return whether JSON lines in a file of this name and format would be read as another."""
    packed = kind == "lines" and plain_name(path).lower().endswith(".parquet")
    return packed or kind in ("csv", "tsv", "documents")


def stem_of(path: Path) -> str:
    """Return the name of an input without the suffixes of its format."""
    if path.is_dir():
        return path.name
    return Path(path.stem if is_compressed(path) else path.name).stem


def numbered_lines(
    path: Path,
    name: str,
    kind: Format,
    fields: Mapping[str, str],
) -> Iterator[tuple[int, bytes]] | None:
    """Return an iterator of (number, JSON line) pairs; None if the file is JSON Lines.

    The number is that of the record's first line (CSV, TSV), of the row (Parquet), of the element
    (JSON array) or of the file (documents), from 1.

    Args:
        name: name of the file, for messages.
        fields: contract name -> name in the file.
    """
    if kind == "parquet":
        return parquet_lines(path, name)
    if kind == "documents":
        return document_lines(path)
    if kind == "json":
        with open_bytes(path) as file:
            if not holds_array(file):
                return None
    return None if kind == "lines" else _of_open_file(path, name, kind, fields)


def _of_open_file(
    path: Path,
    name: str,
    kind: Format,
    fields: Mapping[str, str],
) -> Iterator[tuple[int, bytes]]:
    with open_bytes(path) as file:
        if kind == "json":
            yield from array_lines(file, name)
        else:
            yield from table_lines(file, name, fields, tabs=kind == "tsv")
