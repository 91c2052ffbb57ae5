"""`prism recipes`: the shipped settings."""

import sys
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
    """Print each recipe's name and first line."""
    from prism_cli.configs.recipes import shipped_recipes

    for name, path in shipped_recipes().items():
        first = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        typer.echo(f"{name:28} {first}")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(help="STAGE/NAME, as `ls` prints it; with --all a STAGE."),
    ],
    all_keys: Annotated[
        bool,
        typer.Option("--all", help="Every key of a stage, with description, type and default."),
    ] = False,
) -> None:
    """Print a recipe, or with --all each setting of a stage."""
    from prism_cli.configs.describe import recipe_lines
    from prism_cli.configs.recipes import find_recipe
    from prism_cli.configs.stages import config_class
    from prism_cli.terminal import write_bytes

    if all_keys:
        typer.echo("\n".join(recipe_lines(config_class(name))).rstrip())
        return
    write_bytes(find_recipe("train", name).read_bytes())


@app.command()
def cp(
    name: Annotated[str, typer.Argument(help="STAGE/NAME, as `ls` prints it.")],
    destination: Annotated[
        Path, typer.Argument(parser=typed_path, metavar="DESTINATION", help="New file.")
    ],
) -> None:
    """Copy a recipe, to change it."""
    from prism_cli.configs.recipes import find_recipe
    from prism_cli.shards.writer import whole_file

    check_new_file(destination, "recipe.toml")
    with whole_file(destination) as file:
        file.write(find_recipe("train", name).read_bytes())


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="TOML files.")],
    stage: Annotated[
        str, typer.Option(help="Stage of the settings: train, rerank, relabel, ….")
    ] = "train",
) -> None:
    """Check recipes against the settings of a stage; report all problems at once.

    For example: `prism recipes check my-rerank.toml --stage rerank`. The tables of prism.toml are
    checked by the command that reads them.
    """
    from prism_cli.configs.load import load_config
    from prism_cli.configs.stages import config_class
    from prism_cli.errors import ConfigError, MissingDataError

    problems: list[str] = []
    for file in files:
        if not file.is_file():
            raise MissingDataError(f"{file}: no such file")
        try:
            load_config(config_class(stage), stage, recipe=str(file))
        except ConfigError as error:
            problems += error.problems
        else:
            print(f"{file}: good", file=sys.stderr)
    if problems:
        raise ConfigError(problems)
