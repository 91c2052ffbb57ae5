"""Settings in words: what help, `prism recipes show STAGE --all` and `prism schema` print."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from prism_cli.configs.base import Section, Setting, settings_of

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_WIDTH = 96


def default_text(setting: Setting) -> str | None:
    """Return the default as help shows it; None where there is nothing to show."""
    if setting.option.default is not None:
        return setting.option.default
    if isinstance(setting.default, bool):
        return "on" if setting.default else None
    if isinstance(setting.default, tuple | list):
        return ", ".join(map(str, setting.default)) or None
    return str(setting.default) if isinstance(setting.default, str | int | float) else None


def plain_type(kind: Any) -> Any:
    """Return a type without None as an alternative."""
    if get_origin(kind) in (Union, UnionType):
        kinds = [alternative for alternative in get_args(kind) if alternative is not NoneType]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


def choices(setting: Setting) -> tuple[str, ...]:
    """Return the words that a setting accepts; () if it is not limited to some."""
    kind = plain_type(setting.type)
    return get_args(kind) if get_origin(kind) is Literal else ()


def bounds(setting: Setting) -> dict[str, float]:
    """Return the bounds of a number by ge, gt, le and lt."""
    return {
        name: value
        for limit in setting.metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(limit, name, None)) is not None
    }


def type_text(setting: Setting) -> str:
    """Type and bounds, such as `integer, >= 1, <= 50`."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [f"{signs[name]} {value:g}" for name, value in bounds(setting).items()]
    return ", ".join([_kind_text(plain_type(setting.type)), *limits])


def recipe_lines(cls: type[Section]) -> Iterator[str]:
    """Return a recipe with all keys of a settings class at their defaults, each described."""
    sections = []
    for setting in settings_of(cls).values():
        if isinstance(setting.default, Section):
            sections.append(setting)
            continue
        text = f"{setting.option.help} ({type_text(setting)})"
        if setting.option.default is not None:
            text += f" Default: {setting.option.default}."
        yield from textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
        if setting.default is None or setting.default is MISSING:
            yield f"# {setting.name} ="
        else:
            yield f"{setting.name} = {json.dumps(setting.default, ensure_ascii=False)}"
        yield ""
    for setting in sections:
        yield f"[{setting.name}]"
        yield from recipe_lines(type(setting.default))


def _kind_text(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(json.dumps, get_args(kind)))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_kind_text(one) for one in get_args(kind) if one is not NoneType)
    if get_origin(kind) in (tuple, list):
        return f"list: {_kind_text(get_args(kind)[0])}"
    return _TYPES.get(get_origin(kind) or kind) or _kind_text(get_args(kind)[0])
