"""Changes of a finished output's inputs since it was made."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prism_cli.files.urls import is_url
from prism_cli.shards.file_digest import digest_file, size_and_change


def input_changes(manifest: Mapping[str, Any], file: Path) -> list[str]:
    """Return a line for each input of `manifest` that has changed.

    Relative paths are those of the command: they are resolved against the current folder, the
    output's folder and its parents.

    Sizes and times are compared; only an input of the same size that is newer than the manifest's
    `file` is read.
    """
    return list(_changes(manifest, file))


def _changes(manifest: Mapping[str, Any], file: Path) -> Iterator[str]:
    if manifest["stage"] == "export":
        return  # its inputs are named without their folder, as the export leaves this machine
    for entry in manifest.get("inputs") or ():
        if not entry["bytes"] or is_url(entry["path"]):
            continue  # empty, standard input, no file, or in an object store
        if not os.path.exists(path := Path(entry["path"])):
            paths = (folder / entry["path"] for folder in file.absolute().parents)
            near = next((path for path in paths if path.exists()), None)
            if near is None:
                yield f"input gone: {entry['path']}"
                continue
            path = near
        try:
            size, changed_ns = size_and_change(path)
            edited = size != entry["bytes"] or (
                changed_ns != entry.get("changed_ns")
                and changed_ns > file.stat().st_mtime_ns
                and digest_file(path).sha256 != entry["sha256"]
            )
        except OSError:
            continue  # another user's
        if edited:
            yield f"input changed since: {path}"
