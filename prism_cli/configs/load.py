"""Settings of a stage, by priority: flag or --set > PRISM_* > recipe > prism.toml > default.

All problems are reported at once, each with its file and key; unknown keys with a similar name.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prism_cli.configs.base import Section, StageConfig, settings_of, shared_values, validated
from prism_cli.configs.describe import plain_type
from prism_cli.configs.problems import (
    ENVIRONMENT,
    located,
    nearest_name,
    of_table,
    reason_of,
    shown,
    variable,
)
from prism_cli.configs.recipes import find_recipe
from prism_cli.configs.stages import STAGES, config_class
from prism_cli.configs.toml import parse_toml, typed_value, value_problems
from prism_cli.errors import ConfigError, MissingDataError
from prism_cli.files.lines import LIMIT_VARIABLE
from prism_cli.files.names import working_folder
from prism_cli.files.text import read_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Config = TypeVar("Config", bound=StageConfig)
PROJECT_FILE = "prism.toml"
DEFAULTS = "defaults"
"""Table of prism.toml whose keys apply to every stage that has them."""
RESERVED = {"PRISM_STATE", "PRISM_TRACEBACK", "PRISM_CRASH_AT", LIMIT_VARIABLE}
_TEXTS = (str, Path)
_SERVICE_PORT = re.compile("PRISM_PORT=(tcp|udp|sctp)://.*")
"""Variable that Kubernetes sets in the pods beside a Service called prism; it is no setting."""


def load_config(
    cls: type[Config],
    stage: str,
    *,
    recipe: str | None = None,
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
) -> Config:
    """Return the resolved settings of a stage, as `load_with_origins`.

    Raises:
        ConfigError: all problems, a line each.
        MissingDataError: the recipe does not exist.
    """
    return load_with_origins(cls, stage, recipe=recipe, flags=flags, sets=sets)[0]


def load_with_origins(
    cls: type[Config],
    stage: str,
    *,
    recipe: str | None = None,
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    project: Path | None = None,
) -> tuple[Config, dict[str, str]]:
    """Return the resolved settings of a stage, and the origin of each that is not a default.

    Args:
        cls: the stage's settings class.
        stage: the command's word; names the recipe folder and the table of prism.toml.
        recipe: name of a shipped recipe or path of a TOML file: the settings, or one table of the
            stage's name that holds them.
        flags: setting -> value; None means that the flag was not given. Dots reach into tables.
        sets: `a.b=value` of --set; the value is TOML, or else a plain string.
        project: prism.toml, in place of the one in this folder or above it.

    Raises:
        ConfigError: all problems, a line each.
        MissingDataError: the recipe does not exist.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    problems: list[str] = []
    project = project or _project_file()
    if project:
        content = read_toml(project)
        problems += _project_problems(cls, stage, content, project)
        layers += _project_layers(cls, stage, content, project)
    if recipe:
        path = find_recipe(stage, recipe)
        content = read_toml(path)
        if content.keys() == {stage} and isinstance(content[stage], dict):
            content = content[stage]  # written as for prism.toml
        layers.append((str(path), content))
    layers.append((ENVIRONMENT, shared_values(cls, _environment(cls, problems))))
    given: dict[str, Any] = {}
    texts = set(key_paths(cls, kinds=_TEXTS))
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            problems.append(f"--set {item}: expected KEY=VALUE, such as --set lora.r=16")
            continue
        try:
            _put(given, key.strip(), typed_value(text, is_text=key.strip() in texts))
        except ValueError as error:
            problems.append(f"--set {key.strip()}: {error}")
    for key, value in (flags or {}).items():
        if value is not None:
            _put(given, key, value)
    layers.append(("command line", given))
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name, layer in layers:
        wrong = [located(name, problem) for problem in value_problems(layer)]
        problems += wrong or unknown_keys(cls, layer, name)
        if not wrong:
            merge_layer(merged, _known(cls, layer), origin, name)
    from pydantic import ValidationError

    try:
        config = validated(cls, merged)
    except ValidationError as error:
        problems += [_problem(item, origin) for item in error.errors()]
    if problems:
        raise ConfigError(problems)
    return config, origin


def _problem(item: "ErrorDetails", origin: Mapping[str, str]) -> str:
    place = _place(origin, item["loc"])
    if item["type"] == "missing":
        flag = str(item["loc"][0]).replace("_", "-")
        return f"{place}: expected a value, found none; give --{flag}, see --help"
    found = "" if of_table(item) else f", found {shown(item['input'])}"
    return f"{place}: {reason_of(item)}{found}"


def project_problems(path: Path) -> list[str]:
    """Return the problems of a prism.toml: each table is checked as its stage. Settings that a
    command line must give may be missing."""
    content = read_toml(path)
    problems: dict[str, None] = {}
    for stage in STAGES:
        cls, own = config_class(stage), _table(content, stage)
        required = [key for key, item in settings_of(cls).items() if item.default is MISSING]
        flags = {key: "hf:smollm2" for key in required if key not in own}
        try:
            load_with_origins(cls, stage, flags=flags, project=path)
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
    return list(problems)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        ConfigError: the file is unreadable or not TOML; names the line.
    """
    try:
        return parse_toml(read_text(path))
    except MissingDataError as error:
        raise ConfigError([str(error)]) from error
    except ValueError as error:
        raise ConfigError([f"{path}: {error}"]) from error


def unknown_keys(cls: type[Section], layer: Mapping[str, Any], where: str) -> list[str]:
    """Return a line for each key of `layer` that `cls` does not have."""
    names = list(key_paths(cls))
    problems = []
    for path in _paths(layer, cls):
        if path not in names:
            problems.append(f"{located(where, path)}: {nearest_name('key', path, names)}")
    return problems


def key_paths(cls: type[Section], prefix: str = "", kinds: tuple[type, ...] = ()) -> Iterator[str]:
    """Yield every setting of `cls`, or those of these types; those of tables with dots."""
    for name, field in settings_of(cls).items():
        section = _section(field.type)
        if section:
            yield from key_paths(section, f"{prefix}{name}.", kinds)
        elif not kinds or plain_type(field.type) in kinds:
            yield prefix + name


def _section(annotation: Any) -> type[Section] | None:
    kind = plain_type(annotation)
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _paths(layer: Mapping[str, Any], cls: type[Section] | None, prefix: str = "") -> list[str]:
    paths: list[str] = []
    for key, value in layer.items():
        field = settings_of(cls).get(key) if cls else None
        section = _section(field.type) if field else None
        if isinstance(value, Mapping) and (section or field is None):
            paths += _paths(value, section, f"{prefix}{key}.")
        else:
            paths.append(prefix + key)
    return paths


def _known(cls: type[Section], layer: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for key, value in layer.items():
        field = settings_of(cls).get(key)
        if field is None:
            continue
        section = _section(field.type)
        known[key] = _known(section, value) if section and isinstance(value, Mapping) else value
    return known


def merge_layer(
    target: dict[str, Any],
    layer: Mapping[str, Any],
    origin: dict[str, str],
    name: str,
    at: str = "",
) -> None:
    """Merge `layer` into `target`, tables included; note in `origin` the keys from `name`."""
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(target.setdefault(key, {}), dict):
            merge_layer(target[key], value, origin, name, f"{at}{key}.")
        else:
            target[key] = value
            origin[at + key] = name


def _put(target: dict[str, Any], dotted: str, value: object) -> None:
    *tables, last = dotted.split(".")
    for table in tables:
        target = target.setdefault(table, {})
        if not isinstance(target, dict):
            raise ConfigError([f"{dotted}: {table} is given as a value, too; give one of the two"])
    former = target.get(last)
    if isinstance(former, dict) and isinstance(value, dict):
        for key, inner in value.items():
            _put(former, key, inner)
    else:
        target[last] = value


def _environment(cls: type[Section], problems: list[str]) -> dict[str, Any]:
    layer: dict[str, Any] = {}
    texts = set(key_paths(cls, kinds=_TEXTS))
    for path in key_paths(cls):
        name = variable(path)
        value = os.environ.get(name)
        if value is None or name in RESERVED or _SERVICE_PORT.fullmatch(f"{name}={value}"):
            continue
        try:
            _put(layer, path, typed_value(value, is_text=path in texts))
        except ValueError as error:
            problems.append(f"{name}: {error}")
    return layer


def _project_file() -> Path | None:
    here = working_folder()
    files = (folder / PROJECT_FILE for folder in (here, *here.parents))
    return next((file for file in files if file.is_file()), None)


def _project_layers(
    cls: type[Section], stage: str, content: dict[str, Any], path: Path
) -> list[tuple[str, dict[str, Any]]]:
    """Return the settings of one stage in prism.toml: its own table, over [defaults]."""
    own = _table(content, stage)
    names = settings_of(cls)
    defaults = {
        key: value
        for key, value in _table(content, DEFAULTS).items()
        if key in names
        and (key not in own or (isinstance(value, dict) and isinstance(own[key], dict)))
    }
    return [(f"{path}: [{DEFAULTS}]", shared_values(cls, defaults)), (f"{path}: [{stage}]", own)]


def _project_problems(
    cls: type[Section], stage: str, content: Mapping[str, Any], path: Path
) -> list[str]:
    """Tables that belong to no stage, and keys of [defaults] that no stage has."""
    problems: list[str] = []
    tables = sorted({DEFAULTS, stage, *STAGES})
    for name, value in content.items():
        if name not in tables:
            problems.append(f"{path}: {name}: {nearest_name('table', name, tables)}")
        elif not isinstance(value, dict):
            problems.append(f"{path}: {name}: expected a table, found {value!r}")
    defaults = _table(content, DEFAULTS)
    classes = [cls, *map(config_class, STAGES)] if defaults else []
    keys = sorted({key for config in classes for key in settings_of(config)})
    unknown = [key for key in defaults if key not in keys]
    return problems + [
        f"{path}: [{DEFAULTS}] {key}: {nearest_name('key', key, keys)}" for key in unknown
    ]


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = content.get(name)
    return table if isinstance(table, dict) else {}


def _place(origin: Mapping[str, str], location: tuple[int | str, ...]) -> str:
    """Return where a setting was given; "settings" for a check over several."""
    key = ".".join(map(str, location))
    return located(_origin_of(origin, location), key) if location else "settings"


def _origin_of(origin: Mapping[str, str], location: tuple[int | str, ...]) -> str:
    for end in range(len(location), 0, -1):
        name = origin.get(".".join(str(part) for part in location[:end]))
        if name:
            return name
    inside = ".".join(map(str, location)) + "."
    return next((name for key, name in origin.items() if key.startswith(inside)), "settings")
