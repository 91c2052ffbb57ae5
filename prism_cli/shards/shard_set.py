"""Sets of shards: NAME-00000.jsonl, NAME-00001.jsonl and so on, with one manifest."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prism_cli.errors import MissingDataError, UsageError
from prism_cli.shards.manifest import MANIFEST_SUFFIX, read_manifest
from prism_cli.shards.writer import leftover_parts
from prism_cli.wording import counted

STAGE = "shard"
SET_MANIFEST = f"{STAGE}.jsonl{MANIFEST_SUFFIX}"
"""Name of the manifest of a set, in its folder."""
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
        existing = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return self.planned(
            [*existing, *leftover_parts(folder)], read_manifest(set_manifest(folder))
        )

    def planned(
        self, existing: Iterable[str], manifest: Mapping[str, Any] | None
    ) -> tuple[str, ...]:
        """Return as `planned_files`, for these names and the manifest of a set."""
        pattern = re.compile(re.escape(self.name) + rf"-\d{{{_DIGITS}}}\.jsonl(\.\w+)?")
        listed = [*manifest["outputs"], *manifest["replaces"]] if manifest else []
        return tuple(sorted({self.file(0), *filter(pattern.fullmatch, existing), *listed}))


def check_complete(folder: Path) -> None:
    """Raise MissingDataError if a folder has a set of shards that is not, or no longer, whole."""
    if manifest := read_manifest(set_manifest(folder)):
        check_set(str(folder), manifest, lambda name: (folder / name).exists())


def check_set(where: str, manifest: Mapping[str, Any], exists: Callable[[str], bool]) -> None:
    """Raise MissingDataError if a set of shards is not, or no longer, whole.

    Args:
        where: its folder.
        exists: returns whether the folder has a file of that name.
    """
    if not manifest["finished"]:
        raise MissingDataError(
            f"{where}: its shards are not all written; run the same `prism shard` again, then this"
        )
    missing = [name for name in manifest["outputs"] if not exists(name)]
    if missing:
        raise MissingDataError(
            f"{where}: {counted(len(missing), 'shard')} of {len(manifest['outputs']):,} missing, "
            f"such as {missing[0]}: copy them, run the same `prism shard` again, or delete "
            f"{SET_MANIFEST} to read those that are there"
        )


def set_manifest(folder: Path) -> Path:
    """Return the manifest of the set in a folder."""
    return folder / SET_MANIFEST
