"""Row files in a folder; other files are reported and not read."""

import os
import re
import shlex
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
"""Suffix -> kind of file, and how to convert it to one that is read."""
_SAVED = {"dataset_info.json", "state.json"}
_SAVED_DICT = "dataset_dict.json"
"""Files by which `save_to_disk` of the library datasets describes a data set, and one of splits."""
_SHARD_NUMBER = re.compile(r"-\d{5}-of-\d{5}$")
SIDE_FILES = (".rejects.jsonl", ".pending.jsonl")
_NAMED = 3


def line_suffix(path: Path) -> str:
    """Return the suffix of a JSON Lines file as it is written; "" for other names."""
    name = plain_name(path).lower()
    suffix = next((suffix for suffix in LINE_SUFFIXES if name.endswith(suffix)), "")
    return path.name[len(name) - len(suffix) :] if suffix else ""


def is_row_file(path: Path) -> bool:
    """Return whether the name is that of a row file, and not of a side file of an output."""
    has_rows = line_suffix(path) or format_of(path) not in ("lines", "documents")
    return bool(has_rows) and not _is_own(path)


def folder_inputs(folder: Path) -> list[Path]:
    """Return the inputs in a folder: its row files by name, or the folder itself if it holds
    documents; warn once, on standard error, about files that are skipped.

    Subfolders are skipped: their outputs would need subfolders too. A .json file counts as a row
    file only if there is no other, as it often describes them.

    Raises:
        MissingDataError: a folder of the library datasets, whose Arrow files are not read.
    """
    files, skipped = [], dict[str, list[str]]()
    with os.scandir(folder) as entries:
        plain = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    for name in sorted(plain):
        if _is_own(path := folder / name):
            continue
        if (plain[name] or path.is_file()) and is_row_file(path):
            files.append(path)
        else:
            skipped.setdefault(_kind(path), []).append(name)
    rows = [path for path in files if format_of(path) != "json"] or files
    if not rows and (documents := set(documents_in(folder))):
        warn_skipped(folder, visible_files(folder) - documents)
        return [folder]
    names = {path.name for path in files}
    if names in (_SAVED, {_SAVED_DICT}):
        raise MissingDataError(_saved_message(folder, whole=names == _SAVED))
    if len(rows) < len(files):
        described = sorted({path.name for path in files} - {path.name for path in rows})
        skipped["JSON beside other files of rows"] = described
    _warn_groups(str(folder), skipped)
    return rows


def _saved_message(folder: Path, *, whole: bool) -> str:
    split = "" if whole else '["train"]'
    return (
        f"{shown_name(folder)}: is a data set saved by the library datasets (save_to_disk), whose "
        "Arrow files are not read. Save it as Parquet in Python: "
        f'datasets.load_from_disk({str(folder)!r}){split}.to_parquet("rows.parquet"). Nothing was '
        "done"
    )


def rows_below(folder: Path) -> str:
    """Return patterns of the row files in subfolders of `folder`, quoted for a shell; "" if there
    are none."""
    files = sorted(path for path in visible_files(folder) if is_row_file(path))
    patterns = dict.fromkeys(
        shlex.quote(shown_name(path.with_name(f"{start}-*{path.suffix}" if cut else path.name)))
        for path in files
        for start, cut in [_SHARD_NUMBER.subn("", path.stem)]
        if format_of(path) != "json"
    )
    more = ", …" if len(patterns) > _NAMED else ""
    return ", ".join(list(patterns)[:_NAMED]) + more


def warn_skipped(where: object, files: Iterable[Path]) -> None:
    """Warn once, on standard error, about files of a folder or pattern that are not inputs."""
    groups = dict[str, list[str]]()
    for path in sorted(files):
        if not _is_own(path):
            groups.setdefault(_kind(path), []).append(path.name)
    _warn_groups(str(where), groups)


def _warn_groups(where: str, groups: Mapping[str, Sequence[str]]) -> None:
    if groups:
        _warn(f"prism: {where}: passed over: {_grouped(groups)}")


def expected() -> str:
    """Return the expected content of a folder or pattern, for messages."""
    rows = ", ".join((*LINE_SUFFIXES, *ROW_SUFFIXES))
    return (
        f"expected files that end in {rows} (also with .gz, .zst, .bz2, .xz), or documents "
        f"({', '.join(DOCUMENT_SUFFIXES)})"
    )


def _is_own(path: Path) -> bool:
    """Return whether prism wrote the file beside an output, or its name begins with a dot."""
    return path.name.startswith(".") or path.name.endswith((*SIDE_FILES, MANIFEST_SUFFIX))


def _kind(path: Path) -> str:
    if path.is_dir():
        return "linked folder" if path.is_symlink() else "folder (name it to have it read)"
    if path.is_symlink() and not path.exists():
        return "dead link"
    if is_document(path):
        return "document beside files of rows"
    convertible = _CONVERTIBLE.get(path.suffix.lower())
    return f"{convertible[0]} ({convertible[1]})" if convertible else "other file"


def refuse_convertible(path: Path, name: str) -> None:
    """Raise MissingDataError for a file that must be converted before it can be read."""
    if convertible := _CONVERTIBLE.get(path.suffix.lower()):
        raise MissingDataError(
            f"{name}: is {convertible[0]}, which is not read; {convertible[1]}. Nothing was done"
        )


def _grouped(names: Mapping[str, Sequence[str]]) -> str:
    groups = []
    for kind, members in names.items():
        more = f", {len(members) - _NAMED} more" if len(members) > _NAMED else ""
        named = ", ".join(shown_name(Path(name)) for name in members[:_NAMED])
        groups.append(f"{kind}: {named}{more}")
    return "; ".join(groups)


@cache
def _warn(line: str) -> None:
    print(line, file=sys.stderr)
