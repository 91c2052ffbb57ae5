"""Checks that all nodes of a run have the same files and settings, before anything is written."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from prism_cli.errors import UsageError
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.manifest import read_manifest
from prism_cli.shards.reader import Shard
from prism_cli.shards.run_record import RunRecord
from prism_cli.training.data import SHARED_FOLDER_SECONDS
from prism_cli.training.process_group import ProcessGroup, node
from prism_cli.version import __version__

_NAMED = 5
Facts = list[tuple[str, str]]
"""Name and value."""


def check_nodes(
    group: ProcessGroup, config: Mapping[str, Any], shards: Sequence[Shard], record: RunRecord
) -> None:
    """Make sure that all processes have the settings, rows and versions of the main process.

    Args:
        config: settings of this process.
        shards: files of rows, of training and dev, of this process; hashed once on each node.
        record: of the main process; has the digests of its files.

    Raises:
        UsageError: they differ; in every process, with the nodes and both values.
    """
    if group.size == 1:
        return
    facts: Facts = [("prism", __version__), ("torch", torch.__version__)]
    facts += [(f"setting {name}", repr(value)) for name, value in sorted(_flat(config).items())]
    facts.append(("number of files", str(len(shards))))
    if group.main:
        files = [*record.manifest.inputs, *record.manifest.dependencies]
        facts += [(file.path, f"sha256 {file.sha256}") for file in files]
    elif group.first_of_node:
        facts += [(shard.name, f"sha256 {digest_file(shard.path).sha256}") for shard in shards]
    require_equal(group, facts, "Use the same command, files and versions on each node")


def require_equal(group: ProcessGroup, facts: Facts, advice: str) -> None:
    """Compare facts of all processes with those of the main process, one by one.

    Raises:
        UsageError: they differ; in every process.
    """
    by_rank = group.gather((node(), facts))
    main_node, expected = by_rank[0]
    lines: dict[str, None] = {}  # processes of one node say the same
    for name, own in by_rank[1:]:
        for (what, value), (_, other) in zip(expected, own, strict=False):
            if value != other:
                lines[f"{what}: {value} on {main_node}, {other} on {name}"] = None
    if lines:
        more = f"; {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
        raise UsageError(
            f"the nodes of this run differ, so that nothing was trained: "
            f"{'; '.join(list(lines)[:_NAMED])}{more}. {advice}"
        )


def require_shared_folder(group: ProcessGroup, record: RunRecord) -> None:
    """Make sure that all nodes see the run directory of the main process, which has claimed it.

    Raises:
        UsageError: a node does not; in every process.
    """

    def see_manifest() -> None:
        attempt, path = record.manifest.attempt, record.path
        deadline = time.monotonic() + SHARED_FOLDER_SECONDS
        while (read_manifest(path) or {}).get("attempt") != attempt:
            if time.monotonic() > deadline:
                raise UsageError(
                    f"{path}: is not the file that the first node wrote; nothing was trained. "
                    "Expected -o to name a directory that all nodes share: the first process "
                    "writes there, and all read the tokenized rows and checkpoints"
                )
            time.sleep(0.2)

    group.together(see_manifest)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
