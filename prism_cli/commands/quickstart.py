"""`prism quickstart`: the whole pipeline on bundled text."""

from pathlib import Path
from typing import Annotated

import typer

from prism_cli.files.names import typed_path

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism quickstart demo",
)


@app.command()
def quickstart(
    folder: Annotated[
        Path,
        typer.Argument(
            parser=typed_path, metavar="DIR", help="Working folder; created if missing."
        ),
    ],
    prepare: Annotated[
        bool,
        typer.Option("--prepare", help="Copy the text and write pipeline.sh; run nothing."),
    ] = False,
) -> None:
    """Run every stage on the bundled corpus, without GPU, keys or hub, in about ten minutes.

    Each stage is printed as the command you would type; the same lines are left in
    DIR/pipeline.sh. If it was stopped, the same command continues.
    """
    from prism_cli.quickstart.results import print_results
    from prism_cli.quickstart.steps import prepare_folder, run_steps
    from prism_cli.shards.lock import output_lock

    with output_lock(folder):
        steps = prepare_folder(folder)
        if prepare:
            typer.echo(f"sh {folder / 'pipeline.sh'}")
            return
        spent = run_steps(folder, steps)
    print_results(folder, spent)
