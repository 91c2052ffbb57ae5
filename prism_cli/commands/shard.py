"""`prism shard`: one or many files as shards that never cut a query."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.field_names import check_inputs
from prism_cli.commands.options import Common, Inputs
from prism_cli.commands.settings import with_settings
from prism_cli.configs.shard import ShardConfig

if TYPE_CHECKING:
    from prism_cli.shards.shard_set import ShardSet

_NAMED = 5
"""Most files that a refusal names."""

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism shard big.jsonl.zst -o in --rows 20000",
)


@app.command()
@with_settings(ShardConfig, "shard")
def shard(
    inputs: Inputs,
    sort_queries: Annotated[
        bool,
        typer.Option("--sort-queries", help="Put the rows of a query together first, on disk."),
    ] = False,
    *,
    config: ShardConfig,
    common: Common,
) -> None:
    """Write DIR/NAME-00000.jsonl and further shards of about --rows rows (-o DIR).

    Adjacent rows of a query are in one shard, however many they are. Lines stay as they are, byte
    for byte; those that are no rows are set aside. DIR/shard.jsonl.manifest.json lists the shards:
    other commands refuse DIR while one of them is missing. A DIR with other files of rows is
    refused, as they would be read beside the shards.
    """
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.errors import UsageError
    from prism_cli.files.names import is_folder
    from prism_cli.shards.by_query import input_sources
    from prism_cli.shards.folder import is_row_file
    from prism_cli.stages.shard import ShardStage

    folder = common.output
    is_file = folder and (folder.is_file() or (is_row_file(folder) and not is_folder(folder)))
    if folder is None or str(folder) == "-" or is_file:
        raise UsageError("shard writes a folder of files; name it with -o DIR")
    check_inputs(inputs, common.field_names)
    shard_set = _shard_set(inputs, folder, config)
    names, planned = _files_there(shard_set, folder)
    if not (common.overwrite or common.fresh):
        _refuse_other_rows(folder, set(names).difference(planned))
    stage = ShardStage(shard_set, config.rows, planned)
    sources = input_sources(inputs, common.field_names, sort_queries=sort_queries)
    run_row_stage(stage, sources, common, config)


def _files_there(shard_set: "ShardSet", folder: Path) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of all files in the folder, and as `ShardSet.planned_files`."""
    from prism_cli.files.urls import StagedPath

    if not isinstance(folder, StagedPath):
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return names, shard_set.planned_files(folder)
    from prism_cli.shards.remote.inputs import fetch_set_manifest
    from prism_cli.shards.remote.store import objects_in

    files = objects_in(folder.object_name)
    return [*files], shard_set.planned(files, fetch_set_manifest(folder.object_name, files))


def _shard_set(inputs: list[str], folder: Path, config: ShardConfig) -> "ShardSet":
    """Return the names of the shards: those of the only input, else of the folder.

    Raises:
        UsageError: an input is in the folder.
    """
    from prism_cli.errors import UsageError
    from prism_cli.files.compressed import COMPRESSED
    from prism_cli.shards.formats import stem_of
    from prism_cli.shards.reader import STDIN, find_shards
    from prism_cli.shards.shard_set import ShardSet

    files = [file.path for file in find_shards([name for name in inputs if name != STDIN])]
    for file in files:
        if folder.resolve() in (file.resolve(), file.resolve().parent):
            raise UsageError(
                f"-o {folder}: {file} is there, and would be read beside its shards; name another "
                "folder"
            )
    suffixes = [file.suffix.lower() for file in files[:1]]
    packed = "".join(suffix for suffix in suffixes if suffix in COMPRESSED)
    if config.compress:
        packed = "" if config.compress == "none" else f".{config.compress}"
    only = Path(inputs[0]).resolve()
    is_object = [str(file) for file in files] == inputs[:1]
    if len(inputs) == 1 and (only.exists() or is_object):
        return ShardSet(stem_of(files[0] if is_object else only), f".jsonl{packed}")
    return ShardSet(folder.resolve().name, f".jsonl{packed}")


def _refuse_other_rows(folder: Path, names: Collection[str]) -> None:
    """Refuse a folder with row files that are not of the set.

    Args:
        names: of the files that are not.

    Raises:
        UsageError: it has some.
    """
    from prism_cli.errors import UsageError
    from prism_cli.files.names import shown_name
    from prism_cli.shards.folder import is_row_file
    from prism_cli.shards.formats import format_of
    from prism_cli.wording import counted

    others = sorted(
        shown_name(Path(name))
        for name in names
        if is_row_file(Path(name)) and format_of(Path(name)) != "json"
    )
    if others:
        more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
        raise UsageError(
            f"-o {folder}: {counted(len(others), 'file')} of rows there would be read beside the "
            f"shards: {', '.join(others[:_NAMED])}{more}. Nothing was done; name another folder, "
            "move them away, or leave them there with --overwrite"
        )
