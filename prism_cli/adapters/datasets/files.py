"""The files of a local data set: of one kind, and of one split where their names tell splits."""

import glob
import re
from pathlib import Path

from prism_cli.errors import MissingDataError
from prism_cli.files.names import split_pattern

KINDS = (
    (".parquet",),
    (".csv", ".csv.gz", ".csv.zst"),
    (".tsv", ".tsv.gz", ".tsv.zst"),
    (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson"),
    (".json", ".json.gz", ".json.zst"),
)
"""A data set holds files of one of these; the first that is there counts."""
_NUMBERED = re.compile(r"(.+?)-\d+-of-\d+$")
_USUAL = {"train", "test", "validation", "valid", "val", "dev"}


def data_files(place: str, split: str) -> list[Path]:
    """The row files at `place`, by path; [] where there are none.

    They are the file itself, those that match a pattern, or all of one kind in a folder.

    In a folder a name such as train-00000-of-00002.parquet or test.csv, or a folder of that name,
    tells the split.

    Raises:
        MissingDataError: the names tell splits, and `split` is none of them; a BEIR folder; or a
            pattern that no file matches.
    """
    path = Path(place)
    if path.is_file():
        return [path] if any(path.name.lower().endswith(kind) for kind in KINDS) else []
    if not path.is_dir():
        base, pattern = split_pattern(place)
        names = glob.glob(pattern, root_dir=base, recursive=True)
        found = sorted(path for path in (base / name for name in names) if path.is_file())
        if not found and glob.has_magic(place):
            raise MissingDataError(f"{place}: no file matches this pattern")
        return found
    if any((path / name).is_file() for name in ("corpus.jsonl", "corpus.jsonl.gz")):
        raise MissingDataError(f"{place}: no data set but a BEIR folder; name it without --dataset")
    inside = sorted(one for one in path.rglob("*") if one.is_file() and not _hidden(one, path))
    for kind in KINDS:
        files = [one for one in inside if one.name.lower().endswith(kind)]
        splits = {one: _split_of(one.relative_to(path)) for one in files}
        known = dict.fromkeys(name for name in splits.values() if name)
        if known and split not in known:
            raise MissingDataError(f"{place}: no split {split!r}; it has {', '.join(known)}")
        if files:
            return [one for one in files if not known or splits[one] == split]
    return []


def _split_of(path: Path) -> str:
    """The split that a file's name, or a folder's, stands for; "" where none does."""
    stem = path.name.partition(".")[0]
    numbered = _NUMBERED.fullmatch(stem)
    if numbered:
        return numbered[1]
    return next((name for name in (stem, *path.parts[:-1]) if name in _USUAL), "")


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
