"""Records of Arrow and of data set libraries, converted to JSON lines."""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite, isinf
from typing import Any

import orjson

from prism_cli.rows.decode import Unreadable

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
_NESTED = (list, tuple, dict)
_KEPT_CHARACTERS = 1000
"""Most characters of a rejected record that are kept."""


def record_line(record: Mapping[str, Any], plain: Callable[[Any], Any]) -> bytes:
    """Return the record on one line; a NaN becomes null, at every depth.

    JSON has no form for infinity, for which orjson would silently write null.

    Args:
        plain: converts a value that JSON cannot represent.

    Returns:
        An `Unreadable` where a number at any depth is infinite, a key of a map is not a finite
        number, or `plain` cannot convert a value.
    """
    place = next((place for name in record for place in _infinite(record[name], name)), None)
    if place is not None:
        return Unreadable(_shown(record), place, "expected a finite number, found infinity")
    try:
        return orjson.dumps(record, default=plain, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        cause = error.__cause__ or error
        return Unreadable(_shown(record), "", f"cannot be written as JSON: {cause}")


def _infinite(value: Any, place: str) -> Iterator[str]:
    """Yield the paths of infinite numbers inside `value`, whose own path is `place`."""
    kind = type(value)
    inside: Iterator[tuple[str, Any]]
    if kind is list or kind is tuple:
        inside = ((f"[{number}]", inner) for number, inner in enumerate(value))
    elif kind is dict:
        inside = ((f".{key}", inner) for key, inner in value.items())
        # orjson would write the key "null"
        yield from (f"{place}.{key}" for key in value if type(key) is float and not isfinite(key))
    else:
        inside = iter([("", value)] if kind is float else ())
    for step, inner in inside:
        if type(inner) is float:
            if isinf(inner):
                yield place + step
        elif type(inner) in _NESTED:
            yield from _infinite(inner, place + step)


def _shown(record: Mapping[str, Any]) -> bytes:
    return repr(record)[:_KEPT_CHARACTERS].encode(errors="backslashreplace")
