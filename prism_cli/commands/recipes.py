"""`prism recipes`: the shipped settings."""

import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from prism_cli.commands.options import check_new_file
from prism_cli.files.names import typed_path

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="List, show, copy and check the shipped settings.",
    epilog="Example: prism recipes cp train/2b my-2b.toml; prism recipes show train --all",
)


@app.command("ls")
def list_recipes() -> None:
    """Print each recipe, then scripts and configurations of other programs, with a first line."""
    from prism_cli.configs.recipes import shipped_files, shipped_recipes

    for name, path in (shipped_recipes() | shipped_files()).items():
        lines = path.read_text(encoding="utf-8").splitlines()
        first = next(line for line in lines if not line.startswith("#!")).lstrip('# "')
        line = f"{name:28} {first}"
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns
            line = textwrap.fill(line, width, subsequent_indent=" " * 29, break_on_hyphens=False)
        typer.echo(line)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(help="Name, as `ls` prints it; or a STAGE, for all its keys."),
    ],
    all_keys: Annotated[
        bool,
        typer.Option("--all", help="Every key of a stage, with description, type and default."),
    ] = False,
) -> None:
    """Print a recipe, or each setting of a stage."""
    from prism_cli.configs.describe import recipe_lines
    from prism_cli.configs.stages import STAGES, config_class
    from prism_cli.terminal import write_bytes

    if all_keys or (name in STAGES and not Path(name).is_file()):
        typer.echo("\n".join(recipe_lines(config_class(name))).rstrip())
        return
    write_bytes(_recipe(name).read_bytes())


def _recipe(name: str) -> Path:
    from prism_cli.configs.recipes import find_recipe, shipped_files
    from prism_cli.configs.stages import STAGES
    from prism_cli.errors import MissingDataError

    if name in (files := shipped_files()):
        return files[name]
    stage = name.partition("/")[0]
    own = [file for file in files if file.startswith(f"{stage}/")]
    if own and not Path(name).exists():
        raise MissingDataError(f"{name}: no such file; files of {stage}: {', '.join(own)}")
    return find_recipe(stage if stage in STAGES else "train", name)


@app.command()
def cp(
    name: Annotated[
        str, typer.Argument(help="Name, as `ls` prints it, or a folder of scripts: ablations.")
    ],
    destination: Annotated[
        Path,
        typer.Argument(parser=typed_path, metavar="DESTINATION", help="New file, or new folder."),
    ],
) -> None:
    """Copy a recipe, or a folder of scripts, to change it."""
    from prism_cli.configs.recipes import shipped_files
    from prism_cli.errors import UsageError
    from prism_cli.shards.writer import whole_file

    folder = f"{name.rstrip('/')}/"
    copies = {
        destination / file.removeprefix(folder): path
        for file, path in shipped_files().items()
        if file.startswith(folder)
    }
    if not copies:
        check_new_file(destination, Path(name).name if Path(name).suffix else "recipe.toml")
        copies = {destination: _recipe(name)}
    elif destination.exists():
        raise UsageError(f"{destination}: exists already; name a new folder")
    for copy, path in copies.items():
        with whole_file(copy) as file:
            file.write(path.read_bytes())


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="TOML files.")],
    stage: Annotated[
        str | None,
        typer.Option(
            help="Stage of the settings: train (default), rerank, relabel, ….", show_default=False
        ),
    ] = None,
) -> None:
    """Check recipes against the settings of a stage; report all problems at once.

    For example: `prism recipes check my-rerank.toml --stage rerank`. Each table of a prism.toml is
    checked as the stage that it is named after.
    """
    from prism_cli.configs.load import PROJECT_FILE, load_config, project_problems
    from prism_cli.configs.stages import config_class
    from prism_cli.errors import ConfigError, MissingDataError

    problems: list[str] = []
    for file in files:
        if not file.is_file():
            raise MissingDataError(f"{file}: no such file")
        try:
            if stage is None and file.name == PROJECT_FILE:
                if found := project_problems(file):
                    raise ConfigError(found)
            else:
                load_config(config_class(stage or "train"), stage or "train", recipe=str(file))
        except ConfigError as error:
            problems += error.problems
        else:
            print(f"{file}: good", file=sys.stderr)
    if problems:
        raise ConfigError(problems)
