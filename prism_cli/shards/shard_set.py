"""Sets of shards: NAME-00000.jsonl, NAME-00001.jsonl and so on, with one manifest."""

import re
from dataclasses import dataclass
from pathlib import Path

from prism_cli.errors import MissingDataError, UsageError
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.writer import leftover_parts
from prism_cli.wording import counted

STAGE = "shard"
_DIGITS = 5


@dataclass(frozen=True)
class ShardSet:
    """Names of the files of a set.

    Attributes:
        suffix: .jsonl, or with that of a compression .jsonl.zst.
    """

    name: str
    suffix: str

    def file(self, number: int) -> str:
        """Return the name of a file, from 0.

        Raises:
            UsageError: the number has more than five digits.
        """
        if number >= 10**_DIGITS:
            raise UsageError(
                f"more than {10**_DIGITS:,} shards, whose names would no longer be in order; give "
                "more --rows to a shard. Nothing was published"
            )
        return f"{self.name}-{number:0{_DIGITS}}{self.suffix}"

    def planned_files(self, folder: Path) -> tuple[str, ...]:
        """Return the names of the first file, and of those of a set that exist in `folder`, also
        unpublished, or that its manifest lists, and those of another set that a killed run
        began to replace."""
        pattern = re.compile(re.escape(self.name) + rf"-\d{{{_DIGITS}}}\.jsonl(\.\w+)?")
        existing = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        names = filter(pattern.fullmatch, (*existing, *leftover_parts(folder)))
        return tuple(sorted({self.file(0), *names, *_listed(folder)}))


def check_complete(folder: Path) -> None:
    """Raise MissingDataError if a folder has a set of shards that is not, or no longer, whole."""
    if (manifest := read_manifest(_manifest_of(folder))) is None:
        return
    if not manifest["finished"]:
        raise MissingDataError(
            f"{folder}: its shards are not all written; run the same `prism shard` again, then this"
        )
    missing = [name for name in manifest["outputs"] if not (folder / name).exists()]
    if missing:
        raise MissingDataError(
            f"{folder}: {counted(len(missing), 'shard')} of {len(manifest['outputs']):,} missing, "
            f"such as {missing[0]}: copy them, run the same `prism shard` again, or delete "
            f"{_manifest_of(folder).name} to read those that are there"
        )


def _manifest_of(folder: Path) -> Path:
    return manifest_path(folder / f"{STAGE}.jsonl")


def _listed(folder: Path) -> list[str]:
    manifest = read_manifest(_manifest_of(folder))
    return [*manifest["outputs"], *manifest["replaces"]] if manifest else []
