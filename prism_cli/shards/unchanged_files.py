"""Files that are as a manifest records them, by size and time, without reading them."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prism_cli.shards.manifest import InputRecord
from prism_cli.shards.reader import Shard


def unchanged_input(entry: Mapping[str, Any] | None, file: Shard | Path) -> InputRecord | None:
    """Return the record of a manifest if the file is still the same: by its version if it is an
    object in a store, else by size and times."""
    if entry is None:
        return None
    version, path = (file.version, file.path) if isinstance(file, Shard) else ("", file)
    times = entry.get("changed_ns", 0), entry.get("inode_changed_ns", 0)
    if version or entry.get("version"):
        same = entry.get("version") == version
    else:
        try:
            now = os.stat(path)
        except OSError:
            return None
        same = now.st_size == entry["bytes"] and times == (now.st_mtime_ns, now.st_ctime_ns)
    if not same:
        return None
    return InputRecord(entry["path"], entry["bytes"], entry["sha256"], version, *times)


def are_unchanged_inputs(entries: Sequence[Mapping[str, Any]], inputs: Sequence[object]) -> bool:
    """Return whether the inputs are files of the same names in the same order, each unchanged."""
    return len(entries) == len(inputs) and all(
        isinstance(source, Shard)
        and entry["path"] == source.name
        and unchanged_input(entry, source) is not None
        for entry, source in zip(entries, inputs, strict=True)
    )


def are_unchanged_outputs(
    records: Mapping[str, Mapping[str, Any]], outputs: Sequence[Path]
) -> bool:
    """Return whether there are outputs, and each is the file that the manifest records."""
    return bool(outputs) and all(
        _is_recorded(records.get(output.name), output) for output in outputs
    )


def _is_recorded(record: Mapping[str, Any] | None, output: Path) -> bool:
    try:
        now = os.stat(output)
    except OSError:
        return False
    same = record and (record["bytes"], record["changed_ns"]) == (now.st_size, now.st_mtime_ns)
    return bool(same) and stat.S_ISREG(now.st_mode)
