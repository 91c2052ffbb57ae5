"""Outputs of an earlier run whose inputs no longer exist."""

import os
from collections.abc import Sequence
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.files.urls import is_url
from prism_cli.shards.manifest import MANIFEST_SUFFIX, manifest_path, read_manifest
from prism_cli.shards.reader import Source


def outputs_without_input(
    stage: str, jobs: Sequence[Job], inputs: Sequence[str | Source]
) -> list[tuple[str, str]]:
    """Return outputs of the stage beside those of `jobs` whose inputs no longer exist, each with
    the name of its input. Empty unless the run covers a folder or several files."""
    shards = len(jobs) > 1 or any(
        isinstance(item, str) and not Path(item).is_file() for item in inputs
    )
    orphans: list[tuple[str, str]] = []
    current: dict[str, set[str]] = {}
    one: dict[str, Path] = {}
    for job in jobs if shards else ():
        for path in (job.outputs or {}).values():
            folder, name = os.path.split(path)
            one.setdefault(folder, path)
            current.setdefault(folder, set()).add(name)
    for folder in sorted(filter(os.path.isdir, current)):
        there = set(os.listdir(folder))
        manifests = filter(lambda name: name.endswith(MANIFEST_SUFFIX), there)
        outputs = {name.removesuffix(MANIFEST_SUFFIX) for name in manifests}
        for name in sorted((outputs & there) - current[folder]):
            output = one[folder].with_name(name)
            if not output.is_file():
                continue
            if (content := read_manifest(manifest_path(output))) is None:
                continue
            names = [entry["path"] for entry in content["inputs"]]
            gone = [name for name in names if not (is_url(name) or Path(name).exists())]
            if content["stage"] == stage and gone and len(gone) == len(names):
                orphans.append((str(output), gone[0]))
    return orphans
