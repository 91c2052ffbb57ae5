"""`prism schema`: the settings of a stage as JSON Schema."""

import json
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, epilog="Example: prism schema train > train.schema.json")


@app.command()
def schema(
    stage: Annotated[str, typer.Argument(help="A stage with settings, such as train.")],
) -> None:
    """Print the settings of a stage as JSON Schema: keys, types, bounds, defaults, descriptions.

    An editor checks and completes a recipe by it.
    """
    from prism_cli.configs.base import adapter
    from prism_cli.configs.stages import config_class
    from prism_cli.terminal import write_bytes

    text = json.dumps(adapter(config_class(stage)).json_schema(), indent=2)
    write_bytes(f"{text}\n".encode())
