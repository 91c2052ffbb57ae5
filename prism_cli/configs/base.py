"""Settings as frozen dataclasses whose fields carry type, bounds, default and help.

    max_sentences: Annotated[int, Interval(ge=1, le=50), Option("Sentences of the evidence.")] = 2

`configs.load` validates them, `commands.settings` makes command-line options of them, and
`prism recipes show STAGE --all` and `prism schema STAGE` print them. Bounds are those of
annotated_types; pydantic is imported only when settings are validated.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, get_type_hints

from annotated_types import Interval

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Settings = TypeVar("Settings", bound="Section")


@dataclass(frozen=True)
class Option:
    """Description of a setting and its form on the command line.

    Attributes:
        help: sentences; the default is added where they are shown.
        names: of the option, such as "--teacher"; by default the name of the field.
        metavar: placeholder of the value in --help.
        hidden: the setting has no option of its own: it is set by --set and in recipes.
        default: what is shown for the default, where its value says little.
        comma_separated: a list is given as one word, not by repeating the option.
        panel: group of options in --help.
        added: manifests do not record the default, as those of earlier versions lack the setting.
        recorded: False for a setting that does not change the result: manifests lack it, and a run
            resumes with another value.
        shared: returns what this stage takes of a value for all stages, in [defaults] or PRISM_*;
            None for nothing.
    """

    help: str
    names: tuple[str, ...] = ()
    metavar: str | None = None
    hidden: bool = False
    default: str | None = None
    comma_separated: bool = False
    panel: str | None = None
    added: bool = False
    recorded: bool = True
    shared: Callable[[Any], object] | None = None

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(schema) | {"description": self.help}


@dataclass(frozen=True)
class BeforeValidation:
    """Apply a function to the given value before it is validated."""

    function: Callable[[object], object]

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.function, handler(source))


@dataclass(frozen=True, kw_only=True)
class Section:
    """Table of settings, such as [lora]: frozen, without unknown keys or empty texts."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = {
        "extra": "forbid",
        "validate_default": True,
        "str_min_length": 1,
        "coerce_numbers_to_str": True,
    }


@dataclass(frozen=True, kw_only=True)
class StageConfig(Section):
    """Settings that determine a stage's result; a run resumes only with the same settings."""

    seed: Annotated[
        int, Interval(ge=0, lt=2**32), Option("Seed of random choices.", hidden=True)
    ] = 0


@dataclass(frozen=True)
class Setting:
    """Field of a settings class.

    Attributes:
        type: its annotation without metadata.
        metadata: of the annotation: bounds, an Option.
        default: MISSING where a value must be given.
    """

    name: str
    type: Any
    metadata: tuple[object, ...]
    default: Any

    @property
    def option(self) -> Option:
        """Last Option of the field; an Option without help for a table."""
        options = [item for item in self.metadata if isinstance(item, Option)]
        return options[-1] if options else Option("", hidden=True)


def settings_of(cls: type[Section]) -> dict[str, Setting]:
    """Return the fields of a settings class by name, in order."""
    hints = get_type_hints(cls, include_extras=True)
    settings = {}
    for field in fields(cls):
        hint = hints[field.name]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        metadata = getattr(hint, "__metadata__", ())
        settings[field.name] = Setting(
            field.name, hint.__origin__ if metadata else hint, metadata, default
        )
    return settings


def shared_values(cls: type[Section], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that are given for all stages as this one takes them."""
    taken = {name: setting.option.shared for name, setting in settings_of(cls).items()}
    own = {key: take(value) if (take := taken.get(key)) else value for key, value in values.items()}
    return {key: value for key, value in own.items() if value is not None}


def adapter(cls: type[Settings]) -> "TypeAdapter[Settings]":
    """Return the validator and serializer of a settings class."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def validated(cls: type[Settings], values: Mapping[str, object]) -> Settings:
    """Return the settings with these values and defaults for the others.

    Raises:
        pydantic.ValidationError: all that is wrong.
    """
    return adapter(cls).validate_python(dict(values))


def to_dict(config: Section, **how: Any) -> dict[str, Any]:
    """Return the settings as JSON types, tables as dicts.

    Args:
        how: of TypeAdapter.dump_python, such as exclude_none.
    """
    content: dict[str, Any] = adapter(type(config)).dump_python(config, mode="json", **how)
    return content


def recorded(config: Section) -> dict[str, Any]:
    """Return the settings as a manifest records them: without those that do not change the result,
    and without added ones at their defaults."""
    values = to_dict(config)
    unset = to_dict(config, exclude_defaults=True)
    settings = settings_of(type(config))
    options = {name: settings[name].option for name in values}
    return {
        name: values[name]
        for name, option in options.items()
        if option.recorded and (name in unset or not option.added)
    }
