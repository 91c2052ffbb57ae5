"""Files of a local data set: of one kind, and of one split if their names contain splits."""

import glob
import re
from collections.abc import Callable
from pathlib import Path

from prism_cli.errors import MissingDataError
from prism_cli.files.compressed import COMPRESSED
from prism_cli.files.names import beir_corpus, split_pattern
from prism_cli.wording import counted

KINDS = (
    (".parquet",),
    *(
        tuple(f"{suffix}{packed}" for suffix in kind for packed in ("", *COMPRESSED))
        for kind in ((".csv",), (".tsv",), (".jsonl", ".ndjson"), (".json",))
    ),
)
"""Suffixes by kind; the first kind that a data set has files of is used."""
_NUMBERED = re.compile(r"(.+?)-[0-9]+-of-[0-9]+(?:-[0-9a-f]+)?")
"""Part of a split; `datasets` wrote a hash behind it, and a data set's name and a hyphen before."""
_NO_SPLIT = {"part", "data"}
"""Names of numbered files that say nothing of a split."""
_USUAL = {"train", "test", "validation", "valid", "val", "dev"}


def data_files(
    place: str, split: str, warn: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Return the row files at `place`, sorted; [] if there are none.

    `place` is a file, a glob pattern, or a folder, of which all files of one kind are taken. In a
    folder, a file name such as train-00000-of-00002.parquet, test.csv or squad_dev_1.jsonl, or a
    subfolder's name, gives the split; `warn` is told of files that are left out for having none.

    Raises:
        MissingDataError: the names contain splits and `split` is not among them, `place` is a BEIR
            folder, or no file matches the pattern.
    """
    path = Path(place)
    if path.is_file():
        return [path] if any(path.name.lower().endswith(kind) for kind in KINDS) else []
    if not path.is_dir():
        base, pattern = split_pattern(place)
        names = glob.glob(pattern, root_dir=base, recursive=True)
        matches = sorted(path for path in (base / name for name in names) if path.is_file())
        if not matches and glob.has_magic(place):
            raise MissingDataError(f"{place}: no file matches this pattern")
        return matches
    if beir_corpus(path):
        raise MissingDataError(f"{place}: is a BEIR folder; give it as INPUT, without --dataset")
    inside = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
    for kind in KINDS:
        files = [file for file in inside if file.name.lower().endswith(kind)]
        if files:
            return files_of_split(path, files, split, warn)
    return []


def files_of_split(
    folder: Path, files: list[Path], split: str, warn: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Return those of the files in a folder whose names give the split; all if no name gives one.

    Raises:
        MissingDataError: the names give other splits.
    """
    splits = {file: _split_of(file.relative_to(folder)) for file in files}
    declared = dict.fromkeys(name for name in splits.values() if name)
    if declared and split not in declared:
        raise MissingDataError(f"{folder}: no split {split!r}; it has {', '.join(declared)}")
    if not declared:
        return files
    if without := [str(file.relative_to(folder)) for file, name in splits.items() if not name]:
        warn(
            f"{folder}: {counted(len(without), 'file')} without a split in the name not read "
            f"beside those of {split!r}: {', '.join(without[:3])}{', …' * (len(without) > 3)}"
        )
    return [file for file in files if splits[file] == split]


def _split_of(path: Path) -> str:
    """Return the split that the file's name or a folder's name is, or has as a word; else ""."""
    stem = path.name.partition(".")[0]
    numbered = _NUMBERED.fullmatch(stem)
    if numbered and (name := numbered[1].rpartition("-")[2]) not in _NO_SPLIT:
        return name
    names = [name.lower() for name in (path.name, *path.parts[:-1])]
    words = [word for name in names for word in re.split(r"[^a-z]+", name)]
    return next((name for name in (stem.lower(), *names, *words) if name in _USUAL), "")


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
