"""Reader of CSV and TSV files with a header."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import orjson

from prism_cli.errors import MissingDataError, RowError
from prism_cli.files.lines import (
    holds_nul,
    is_cut,
    max_line_bytes,
    refuse_foreign,
    split_lines,
    too_long,
)
from prism_cli.rows.cells import cell_value
from prism_cli.rows.decode import Unreadable, WithEmptyCells
from prism_cli.rows.fields import TAKEN_AS_HEADER, is_header

_OTHERS = (",", ";", "|")
"""Separators of columns besides tabs."""
Numbered = tuple[int, bytes]
_AMBIGUOUS = (
    "{} lines from one quote to another, each with all cells: one record, or one each? Quote all "
    "cells, or write the rows as JSON lines"
)
_TORN = (
    "a part of a quoted cell of several lines that does not end as one: the line beside it has too "
    "few or too many cells. Close the quote, and write a quote inside a cell twice"
)
_SEPARATOR = re.compile(r"""(?i)\s*"?sep=(.)"?[ \r\n]*""")
"""Line that a spreadsheet may write before the header."""


def table_lines(
    file: BinaryIO, name: str, fields: Mapping[str, str], *, tabs: bool
) -> Iterator[Numbered]:
    """Yield (number of the record's first line, JSON object) for each record.

    Cells are strings, and empty ones are omitted; see `cell_value` for fields of other types. If
    the header of a CSV file has no comma, the separator is a semicolon, tab or bar; a line such as
    `sep=;` before it names the separator, and blank lines before it are skipped. Between tabs, a
    cell with a quote may be quoted or not, as in MS MARCO: a record that is not well quoted is one
    line of text, and where the file has had one, so is each of several lines whose first and last
    have all cells. Beside a line with other cells it is a part of a quoted cell, and unreadable.

    Args:
        name: name of the file, for messages.
        fields: contract name -> name of the column.
        tabs: the file is TSV.

    Raises:
        MissingDataError: there is no header, a column is named twice, or a quoted cell never ends.
    """
    csv.field_size_limit(max_line_bytes())
    source = _Lines(file)
    try:
        first = next((line for line in source if line.strip()), None)
        separator = _SEPARATOR.fullmatch(first) if first else None
        if separator:  # a spreadsheet's own line about the file
            first = next((line for line in source if line.strip()), None)
    except csv.Error as error:
        raise MissingDataError(f"{name}:1: expected a header, found {error}") from None
    if first is None:
        raise MissingDataError(f"{name}: is empty; expected a header with the names of the columns")
    taken = b"".join(source.taken_lines())
    refuse_foreign(taken, name)
    if reason := holds_nul(taken):
        raise MissingDataError(f"{name}:1: {reason}; nothing was read")
    source.return_lines([first.encode(errors="surrogateescape")])
    delimiter = separator[1] if separator else _delimiter(first, tabs=tabs)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    ours = {theirs: contract for contract, theirs in fields.items()}
    header = _header(reader, name)
    first = header[0]
    apart = any(mark in first and is_header(first.split(mark)) for mark in _OTHERS)
    if tabs and len(header) == 1 and (apart or first.startswith("{")):
        suffix = ".jsonl" if first.startswith("{") else ".csv"
        raise MissingDataError(
            f"{name}:1: expected tabs between the columns, found {first!r}; nothing was "
            f"read. Name the file {suffix}"
        )
    source.taken_lines()
    columns = [(column, ours.get(column, column)) for column in header]
    has_stray_quote, torn = False, set[int]()
    odd_header = not is_header(contract for _, contract in columns)
    while True:
        start, problem, cells = source.number + 1, "", []
        try:
            if len(source.returned) > 1:  # of a record that was none: each line is read by itself
                cells = next(csv.reader([next(source)], delimiter=delimiter, strict=True))
            else:
                cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = str(error)
        end = source.number
        lines = source.taken_lines()
        raw = b"".join(lines)
        if delimiter == "\t" and (problem or b'"' in raw) and not is_cut(lines[0]):
            broken = len(cells) != len(columns)
            full = [_has_all(line, len(columns)) for line in lines if line.strip()]
            several = len(full) > 1 < len(columns) and full[0] and full[-1]
            if broken or (several and has_stray_quote):
                if broken:
                    torn |= {start + place for place in _torn_lines(lines, len(columns))}
                source.return_lines(lines[1:])
                raw, problem = lines[0], ""
                cells = _unquoted(raw)
                has_stray_quote |= start not in torn and len(cells) == len(columns)
            elif several and all(full):
                yield start, Unreadable(raw, "", _AMBIGUOUS.format(len(lines)))
                continue
        if start in torn and cells == _unquoted(lines[0]):
            yield start, Unreadable(raw, "", _TORN)
            continue
        if problem and (end > start or "unexpected end" in problem):
            raise MissingDataError(
                f"{name}:{start}: a quoted cell goes on to line {end}, and its end is unknown "
                f"({problem}); nothing was published. Close the quote, or write a quote inside a "
                "cell twice"
            )
        if problem:
            yield start, Unreadable(raw, "", f"not CSV: {problem}")
        elif cells:
            yield start, _line(columns, cells, raw, odd_header)


def _unquoted(line: bytes) -> list[str]:
    return line.decode(errors="surrogateescape").rstrip("\r\n").split("\t")


def _has_all(line: bytes, columns: int) -> bool:
    return line.count(b"\t") + 1 == columns


def _torn_lines(lines: list[bytes], columns: int) -> list[int]:
    """Return which of the first and the last line of several have an open quote, and beside them a
    line with other cells, so that their own cell seems to be a part of one."""
    filled = [place for place, line in enumerate(lines) if line.strip()]
    ends = zip(filled[:1] + filled[-1:], filled[1:2] + filled[-2:-1], strict=False)
    return [
        end
        for end, beside in ends
        if lines[end].count(b'"') % 2 and not _has_all(lines[beside], columns)
    ]


def _header(reader: Iterator[list[str]], name: str) -> list[str]:
    try:
        header = next(reader)
        orjson.dumps(header)
    except (csv.Error, orjson.JSONEncodeError):
        raise MissingDataError(
            f"{name}:1: expected a header with the names of the columns, in UTF-8"
        ) from None
    header = [column.strip() or f"column_{place}" for place, column in enumerate(header, 1)]
    for column, count in Counter(header).items():
        if count > 1:
            raise MissingDataError(f"{name}:1: the header names the column {column!r} twice")
    return header


def _line(columns: list[tuple[str, str]], cells: list[str], raw: bytes, odd_header: bool) -> bytes:
    if len(cells) != len(columns):
        problem = f"expected {len(columns)} cells, as the header has, found {len(cells)}"
        if (lines := len(raw.splitlines())) > 1:
            problem += f" in {lines} lines (a quote that is not closed?)"
        return Unreadable(raw, "", f"{problem}. {TAKEN_AS_HEADER}" if odd_header else problem)
    try:
        row = {
            column: cell_value(contract, cell)
            for (column, contract), cell in zip(columns, cells, strict=True)
            if cell
        }
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except RowError as error:
        return Unreadable(raw, error.field, error.reason)
    except orjson.JSONEncodeError:
        return Unreadable(raw, "", "not UTF-8; a spreadsheet saves it as “CSV UTF-8”")
    empty = frozenset(ours for (_, ours), cell in zip(columns, cells, strict=True) if not cell)
    if not empty and not odd_header:
        return line
    return WithEmptyCells(line, empty, odd_header=odd_header)


def _delimiter(header: str, *, tabs: bool) -> str:
    """Return the separator: a tab in TSV; else a comma, or what some spreadsheets use instead."""
    return "\t" if tabs else next((mark for mark in ",;\t|" if mark in header), ",")


class _Lines:
    """Iterator of lines for csv.reader; bytes that are not UTF-8 become lone surrogates.

    Attributes:
        number: number of the last line, from 1.
        returned: lines to be read again, the first one last.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._lines = split_lines(file)
        self._taken: list[bytes] = []
        self.returned: list[bytes] = []
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.returned.pop() if self.returned else next(self._lines)
        self.number += 1
        self._taken.append(line)
        if is_cut(line):
            raise csv.Error(too_long())
        return line.decode(errors="surrogateescape")

    def taken_lines(self) -> list[bytes]:
        """Return the lines since the last call."""
        lines, self._taken = self._taken, []
        return lines

    def return_lines(self, lines: list[bytes]) -> None:
        """Take back the last lines that were read, to read them again."""
        self.returned += reversed(lines)
        self.number -= len(lines)
