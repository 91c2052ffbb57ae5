"""A blank value on a command line, which as a rule is a shell variable that nobody set."""

from typing import Any

from typer import _click as click

from prism_cli.errors import UsageError


def refuse_blank_values(command: click.Command) -> None:
    """Have every option and argument of `command` raise UsageError where its value is blank.

    An empty path would stand for the current folder, and an empty name for the default.
    """
    for param in command.params:
        _watch(param)


def _watch(param: click.Parameter) -> None:
    read = param.consume_value

    def consume(ctx: click.Context, opts: Any) -> Any:
        value, source = read(ctx, opts)
        typed = value if isinstance(value, list | tuple) else [value]
        for one in typed if source is not click.core.ParameterSource.DEFAULT else ():
            if isinstance(one, str) and not one.strip():
                raise UsageError(
                    f'{_name(param)}: expected a path or another value, got "{one}" (a shell '
                    "variable that is not set?). Nothing was done; give a value, or leave it out"
                )
        return value, source

    param.consume_value = consume  # type: ignore[method-assign]


def _name(param: click.Parameter) -> str:
    if param.param_type_name == "argument":
        return (param.metavar or param.name or "").upper()
    return "/".join(param.opts)
