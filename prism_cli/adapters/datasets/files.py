"""Files of a local data set: of one kind, and of one split if their names contain splits."""

import glob
import re
from pathlib import Path

from prism_cli.errors import MissingDataError
from prism_cli.files.names import beir_corpus, split_pattern

KINDS = (
    (".parquet",),
    (".csv", ".csv.gz", ".csv.zst"),
    (".tsv", ".tsv.gz", ".tsv.zst"),
    (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson"),
    (".json", ".json.gz", ".json.zst"),
)
"""Suffixes by kind; the first kind that a data set has files of is used."""
_NUMBERED = re.compile(r"(.+?)-\d+-of-\d+$")
_USUAL = {"train", "test", "validation", "valid", "val", "dev"}


def data_files(place: str, split: str) -> list[Path]:
    """Return the row files at `place`, sorted; [] if there are none.

    `place` is a file, a glob pattern, or a folder, of which all files of one kind are taken. In a
    folder, a file name such as train-00000-of-00002.parquet or test.csv, or a subfolder's name,
    gives the split.

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
        splits = {file: _split_of(file.relative_to(path)) for file in files}
        declared = dict.fromkeys(name for name in splits.values() if name)
        if declared and split not in declared:
            raise MissingDataError(f"{place}: no split {split!r}; it has {', '.join(declared)}")
        if files:
            return [file for file in files if not declared or splits[file] == split]
    return []


def _split_of(path: Path) -> str:
    """Return the split that the file's name or a folder's name gives; "" if none does."""
    stem = path.name.partition(".")[0]
    numbered = _NUMBERED.fullmatch(stem)
    if numbered:
        return numbered[1]
    return next((name for name in (stem, *path.parts[:-1]) if name in _USUAL), "")


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
