"""Refusal of blank values on the command line, as of an unset shell variable, and of file names
that are not UTF-8."""

from typing import Any

from typer import _click as click

from prism_cli.errors import UsageError

INPUTS = "inputs"
"""The argument whose files are held against their names one by one; the others are worked."""


def check_values(command: click.Command) -> None:
    """Have every option and argument of `command` raise UsageError where its value cannot be.

    An empty path would stand for the current folder, and an empty name for the default.
    """
    for param in command.params:
        _watch(param)


def _watch(param: click.Parameter) -> None:
    read = param.consume_value
    number = getattr(getattr(param, "type_descriptor", None), "annotation", None) in (int, float)
    wanted = "a number" if number else "a path or another value"

    def consume(ctx: click.Context, opts: Any) -> Any:
        value, source = read(ctx, opts)
        typed = value if isinstance(value, list | tuple) else [value]
        for one in typed if source is not click.core.ParameterSource.DEFAULT else ():
            if isinstance(one, str) and not one.strip():
                raise UsageError(
                    f'{_name(param)}: expected {wanted}, got "{one}" (a shell '
                    "variable that is not set?). Nothing was done; give a value, or leave it out"
                )
            if isinstance(one, str) and not is_text(one) and param.name != INPUTS:
                raise UsageError(f"{_name(param)}: {one!r}: is not UTF-8; rename the file")
        return value, source

    param.consume_value = consume  # type: ignore[method-assign]


def _name(param: click.Parameter) -> str:
    if param.param_type_name == "argument":
        return (param.metavar or param.name or "").upper()
    return "/".join(param.opts)


def is_text(word: str) -> bool:
    """Return whether the word is text, without bytes that the system could not decode."""
    return word.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in word)
