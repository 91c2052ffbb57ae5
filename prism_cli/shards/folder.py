"""The files of rows in a folder, and what else lies there, which is named and not read."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from prism_cli.errors import MissingDataError
from prism_cli.files.compressed import plain_name
from prism_cli.files.names import shown_name
from prism_cli.shards.formats import ROW_SUFFIXES, format_of
from prism_cli.shards.formats.documents import SUFFIXES as DOCUMENT_SUFFIXES
from prism_cli.shards.formats.documents import documents_in, is_document, visible_files
from prism_cli.shards.manifest import MANIFEST_SUFFIX

LINE_SUFFIXES = (".jsonl", ".ndjson")
_TEXT = "save its text as .txt, .md or .pdf to have it read"
_TABLE = "save it as CSV UTF-8 to have it read"
_CONVERTIBLE = {
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf"), ("a text processor's file", _TEXT)),
    **dict.fromkeys((".html", ".htm", ".xhtml"), ("HTML", _TEXT)),
    **dict.fromkeys((".pptx", ".ppt", ".odp"), ("slides", _TEXT)),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), ("a spreadsheet", _TABLE)),
    ".epub": ("an e-book", _TEXT),
}
"""Suffix -> what such a file is, and how it becomes one that is read."""
SIDE_FILES = (".rejects.jsonl", ".pending.jsonl")
_NAMED = 3


def line_suffix(path: Path) -> str:
    """Return the end of a name that stands for JSON lines, as written, else ""."""
    name = plain_name(path)
    known = next((one for one in LINE_SUFFIXES if name.endswith(one)), "")
    return path.name[len(name) - len(known) :] if known else ""


def is_row_file(path: Path) -> bool:
    """Return whether the name is that of a file of rows, and of no side file of an output."""
    known = line_suffix(path) or format_of(path) not in ("lines", "documents")
    return bool(known) and not _is_own(path)


def folder_inputs(folder: Path) -> list[Path]:
    """Return the inputs that a folder stands for: its files of rows by name, else the folder
    itself where it holds documents; tell once, on standard error, what is passed over.

    Subfolders are passed over: their outputs would need subfolders too. A .json file is one of rows
    only where no other is, as it often describes them.
    """
    files, passed_over = [], dict[str, list[str]]()
    for path in sorted(folder.iterdir()):
        if _is_own(path):
            continue
        if path.is_file() and is_row_file(path):
            files.append(path)
        else:
            passed_over.setdefault(_kind(path), []).append(path.name)
    rows = [path for path in files if format_of(path) != "json"] or files
    if not rows and (documents := set(documents_in(folder))):
        tell_passed_over(folder, visible_files(folder) - documents)
        return [folder]
    if described := [path.name for path in files if path not in rows]:
        passed_over["JSON beside other files of rows"] = described
    _tell_groups(str(folder), passed_over)
    return rows


def tell_passed_over(where: object, files: Iterable[Path]) -> None:
    """Name once, on standard error, files in a folder or of a pattern that are no inputs."""
    groups = dict[str, list[str]]()
    for path in sorted(files):
        if not _is_own(path):
            groups.setdefault(_kind(path), []).append(path.name)
    _tell_groups(str(where), groups)


def _tell_groups(where: str, groups: Mapping[str, Sequence[str]]) -> None:
    if groups:
        _tell(f"prism: {where}: passed over: {_grouped(groups)}")


def expected() -> str:
    """Return what a folder or pattern should hold, for messages."""
    rows = ", ".join((*LINE_SUFFIXES, *ROW_SUFFIXES))
    return (
        f"expected files that end in {rows} (also with .gz, .zst, .bz2, .xz), or documents "
        f"({', '.join(DOCUMENT_SUFFIXES)})"
    )


def _is_own(path: Path) -> bool:
    """Whether prism wrote it beside an output, or its name begins with a dot."""
    return path.name.startswith(".") or path.name.endswith((*SIDE_FILES, MANIFEST_SUFFIX))


def _kind(path: Path) -> str:
    if path.is_dir():
        return "linked folder" if path.is_symlink() else "folder (name it to have it read)"
    if path.is_symlink() and not path.exists():
        return "dead link"
    if is_document(path):
        return "document beside files of rows"
    known = _CONVERTIBLE.get(path.suffix.lower())
    return f"{known[0]} ({known[1]})" if known else "other file"


def refuse_convertible(path: Path, name: str) -> None:
    """Raise MissingDataError where the name is that of a format which can be converted."""
    if known := _CONVERTIBLE.get(path.suffix.lower()):
        raise MissingDataError(
            f"{name}: is {known[0]}, which is not read; {known[1]}. Nothing was done"
        )


def _grouped(names: Mapping[str, Sequence[str]]) -> str:
    groups = []
    for kind, found in names.items():
        more = f", {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        named = ", ".join(shown_name(Path(name)) for name in found[:_NAMED])
        groups.append(f"{kind}: {named}{more}")
    return "; ".join(groups)


@cache
def _tell(line: str) -> None:
    print(line, file=sys.stderr)
