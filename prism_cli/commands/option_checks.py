"""Checks of option and argument values: blank ones, such as "$OUT" where OUT is not set, and file
names that are not UTF-8 raise UsageError."""

from typing import Any

from typer import _click as click

from prism_cli.errors import UsageError

INPUTS = "inputs"
"""Argument whose file names are checked one by one later, so that the valid files are processed."""


def check_values(command: click.Command) -> None:
    """Make every option and argument of `command` raise UsageError for an invalid value.

    Otherwise an empty path would be the current folder, and an empty name the default.
    """
    for param in command.params:
        _add_check(param)


def _add_check(param: click.Parameter) -> None:
    read = param.consume_value
    number = getattr(getattr(param, "type_descriptor", None), "annotation", None) in (int, float)
    wanted = "a number" if number else "a path or another value"

    def consume(ctx: click.Context, opts: Any) -> Any:
        value, source = read(ctx, opts)
        typed = value if isinstance(value, list | tuple) else [value]
        for text in typed if source is not click.core.ParameterSource.DEFAULT else ():
            if isinstance(text, str) and not text.strip():
                raise UsageError(
                    f'{_name(param)}: expected {wanted}, got "{text}" (a shell '
                    "variable that is not set?). Nothing was done; give a value, or leave it out"
                )
            if isinstance(text, str) and not is_text(text) and param.name != INPUTS:
                raise UsageError(f"{_name(param)}: {text!r}: is not UTF-8; rename the file")
        return value, source

    param.consume_value = consume  # type: ignore[method-assign]


def _name(param: click.Parameter) -> str:
    if param.param_type_name == "argument":
        return (param.metavar or param.name or "").upper()
    return "/".join(param.opts)


def is_text(word: str) -> bool:
    """Return whether the word is text, without bytes that the system could not decode."""
    return word.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in word)
