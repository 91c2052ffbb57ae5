"""Whether the inputs of a finished output are still those that it was made from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prism_cli.shards.measured import measure, size_and_change


def input_changes(made: Mapping[str, Any], manifest: Path) -> list[str]:
    """A line for each input of the manifest `made` that is not as it was.

    Relative paths are as the run was given them: they are looked for from here, from the folder of
    the output, and from those above.

    Sizes and times are compared; only an input of the same size that is younger than `manifest` is
    read.
    """
    return list(_changes(made, manifest))


def _changes(made: Mapping[str, Any], manifest: Path) -> Iterator[str]:
    for one in made.get("inputs") or ():
        if not one["bytes"]:
            continue  # empty, standard input, or no file
        places = (Path(), *manifest.absolute().parents)
        path = next((at for place in places if (at := place / one["path"]).exists()), None)
        if path is None:
            yield f"input gone: {one['path']}"
            continue
        try:
            size, changed_ns = size_and_change(path)
            edited = size != one["bytes"] or (
                changed_ns > manifest.stat().st_mtime_ns and measure(path).sha256 != one["sha256"]
            )
        except OSError:
            continue  # another user's
        if edited:
            yield f"input changed since: {path}"
