"""Command-line options made from a settings class."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_origin

import typer

from prism_cli.commands.options import with_common, with_parameters
from prism_cli.configs.base import Setting, StageConfig, settings_of
from prism_cli.configs.describe import bounds, choices, default_text, plain_type

CONFIG, GIVEN = "config", "given"


def with_settings(cls: type[StageConfig], stage: str) -> Callable[..., Callable[..., None]]:
    """Give a command the options of a stage's settings besides its own, and the shared ones.

    The command takes `config`, the resolved settings; or `given`, the values of the options that
    were typed by name of setting, where it resolves the settings itself (`load_config`).
    """
    options = [setting for setting in settings_of(cls).values() if not setting.option.hidden]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = dict(inspect.signature(command, eval_str=True).parameters)
        common = own.pop("common")
        resolves = own.pop(CONFIG, None) is None
        own.pop(GIVEN, None)

        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            from prism_cli.configs.load import load_config

            shared = values["common"]
            given: dict[str, object] = {"seed": shared.seed}
            given |= {setting.name: values.pop(setting.name) for setting in options}
            given = {name: value for name, value in given.items() if value not in (None, [])}
            if resolves:
                values[GIVEN] = given
            else:
                values[CONFIG] = load_config(
                    cls, stage, recipe=shared.recipe, flags=given, sets=shared.sets
                )
            command(**values)

        parameters = [*own.values(), *map(_parameter, options), common]
        return with_common(with_parameters(wrapped, parameters))

    return decorate


def _parameter(setting: Setting) -> inspect.Parameter:
    option, limits, kind = setting.option, bounds(setting), _typed(setting)
    parts = [option.help]
    if words := choices(setting):
        parts.append(f"One of {', '.join(words)}.")
    if (shown := default_text(setting)) is not None:
        parts.append(f"Default: {shown}.")
    names = option.names
    if kind is bool and not names:
        # Without a negative form: the option can only turn the setting on.
        names = ("--" + setting.name.replace("_", "-"),)
    information = typer.Option(
        *names,
        help=" ".join(parts),
        metavar=option.metavar,
        min=limits.get("ge"),
        max=limits.get("le"),
        show_default=False,
        rich_help_panel=option.panel,
    )
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, information],
    )


def _typed(setting: Setting) -> Any:
    """Return the type that typer parses."""
    plain = plain_type(setting.type)
    if plain in (bool, int, float):
        return plain
    if get_origin(plain) in (tuple, list) and not setting.option.comma_separated:
        return list[str]
    return str
