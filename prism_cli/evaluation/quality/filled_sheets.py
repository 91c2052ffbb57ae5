"""Sheets that people filled in, in any dialect of CSV that spreadsheets write."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from prism_cli.domain.rating_task import HIGH, LOW, RATINGS, SEVERE, capped
from prism_cli.errors import MissingDataError, UsageError
from prism_cli.files.text import read_bytes

_SHOWN = 20
_WORDS = {"yes": 1.0, "y": 1.0, "true": 1.0, "1": 1.0, "no": 0.0, "n": 0.0, "false": 0.0, "0": 0.0}
_ASKED = (*RATINGS, SEVERE)


@dataclass(frozen=True, slots=True)
class FilledSheet:
    """One person's ratings, by id and column (RATINGS, and SEVERE as 1 or 0).

    `overall` is capped after a severe invention, as a judge's is.

    Attributes:
        name: the file as given.
        sha256: of the file.
    """

    name: str
    sha256: str
    ratings: dict[str, dict[str, float]]


def read_sheets(files: Sequence[str]) -> list[FilledSheet]:
    """Read sheets, one person per file.

    Raises:
        MissingDataError: a file cannot be read, or is not a sheet.
        UsageError: cells that are not answers, each with file, row (as the spreadsheet counts),
            line and column; or one file twice, which would agree with itself.
    """
    problems: list[str] = []
    sheets = [_read(file, problems) for file in files]
    if problems:
        more = len(problems) - _SHOWN
        shown = [*problems[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        raise UsageError("--sheet-in: " + "\n  ".join([f"{len(problems)} problems:", *shown]))
    seen: dict[str, str] = {}
    for sheet in sheets:
        if sheet.sha256 in seen:
            raise UsageError(
                f"--sheet-in {sheet.name}: the same bytes as {seen[sheet.sha256]}; expected one "
                "sheet per person"
            )
        seen[sheet.sha256] = sheet.name
    return sheets


def _read(file: str, problems: list[str]) -> FilledSheet:
    raw = read_bytes(Path(file), f"--sheet-in {file}")
    text = _decoded(raw)
    if text[:4].casefold() == "sep=":
        text = text.partition("\n")[2]
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    ratings: dict[str, dict[str, float]] = {}
    try:
        columns = {name.strip().casefold(): at for at, name in enumerate(next(lines, ()))}
        asked = [name for name in _ASKED if name in columns]
        if "id" not in columns or not asked:
            raise MissingDataError(
                f"--sheet-in {file}: no sheet of ours: expected the columns id and at least one of "
                f"{', '.join(_ASKED)}; found {', '.join(columns)[:200] or 'nothing'}"
            )
        for number, cells in enumerate(lines, 2):
            cells += [""] * (len(columns) - len(cells))
            name = cells[columns["id"]].strip()
            where = f"{file}: row {number} (line {lines.line_num})"
            answers = {column: cells[columns[column]].strip() for column in asked}
            if not name:
                if any(answers.values()):
                    problems.append(f"{where}, id: expected the row's id, found nothing")
                continue
            if name in ratings:
                problems.append(f"{where}, id: {name} is in an earlier row too")
                continue
            ratings[name] = {}
            for column, cell in answers.items():
                if not cell:
                    continue
                value = _WORDS.get(cell.casefold()) if column == SEVERE else _point(cell)
                if value is None:
                    wanted = "yes or no" if column == SEVERE else f"a whole number, {LOW} to {HIGH}"
                    problems.append(f"{where}, {column}: expected {wanted}, found {cell[:40]!r}")
                else:
                    ratings[name][column] = value
            ratings[name] = capped(ratings[name], ratings[name].get(SEVERE))
    except csv.Error as error:
        raise MissingDataError(f"--sheet-in {file}: line {lines.line_num}: {error}") from None
    return FilledSheet(file, sha256(raw).hexdigest(), ratings)


def _decoded(raw: bytes) -> str:
    """Decode the file; ids and ratings are ASCII, so a wrong code page does not change them."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _point(cell: str) -> float | None:
    whole, _, rest = cell.replace(",", ".").partition(".")
    fits = len(whole) == 1 and str(LOW) <= whole <= str(HIGH) and not rest.strip("0")
    return float(whole) if fits else None
