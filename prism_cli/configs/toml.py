"""TOML text to settings that every part of the package can take."""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

_DEEPEST = 32
"""Tables and arrays within one another; no setting has more than four."""
_LONG_NUMBER = re.compile(r"\d[\d_]{4000,}")
"""Of more digits than Python reads."""
_LARGEST = 2**63 - 1
"""Settings are kept as JSON, whose integers have 64 bits."""


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: it is no TOML, with the line, or what it holds can be no setting, with the key.
    """
    try:
        content = tomllib.loads(text)
    except RecursionError:
        problem = f"tables or arrays more than {_DEEPEST} deep (at line {_deep_line(text)})"
        raise ValueError(problem) from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        if not (digits := _LONG_NUMBER.search(text)):
            raise
        line = text.count("\n", 0, digits.start()) + 1
        problem = f"expected an integer of 64 bits, found one of {len(digits[0])} digits"
        raise ValueError(f"{problem} (at line {line})") from error
    for problem in value_problems(content):
        raise ValueError(problem)
    return content


def typed_value(text: str, *, is_text: bool) -> object:
    """Return the value that a user typed for one setting: TOML, else the text itself.

    Args:
        is_text: the setting is a text: only a TOML string is taken as TOML, so that `1.50` and
            `1234e56` stay as they are.

    Raises:
        ValueError: the TOML value cannot be a setting.
    """
    try:
        content = parse_toml(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except ValueError as error:
        if is_text:
            return text
        problem = str(error).removeprefix("value: ").removesuffix(" (at line 1)")
        raise ValueError(problem) from error
    value = content["value"] if content.keys() == {"value"} else text
    return text if is_text and not isinstance(value, str) else value


def value_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line, with the key, for each value that cannot be a setting of any key."""
    waiting: list[tuple[str, object, int]] = [("", dict(settings), 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if depth > _DEEPEST:
            yield f"{place[:80]}…: tables or arrays more than {_DEEPEST} deep"
            return
        if isinstance(value, Mapping):
            named = ((f"{place}.{key}".lstrip("."), item) for key, item in value.items())
            waiting += ((key, item, depth + 1) for key, item in named)
        elif isinstance(value, list | tuple):
            waiting += ((f"{place}[{at}]", item, depth + 1) for at, item in enumerate(value))
        elif why := _fault(value):
            yield f"{place}: {why}"


def _deep_line(text: str) -> int:
    """Return the line on which arrays and inline tables get too deep; ignores strings, so it is
    approximate."""
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        for sign in line:
            depth += (sign in "[{") - (sign in "]}")
            if depth > _DEEPEST:
                return number
    return 1


def _fault(value: object) -> str:
    if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        return f"expected an integer of 64 bits, found one of {len(str(abs(value)))} digits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, found {value}"
    if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        return "expected text, found NUL or a half of a character (a lone surrogate)"
    if not isinstance(value, str | int | float | bool | None) and hasattr(value, "isoformat"):
        return f"expected text or a number, found the date or time {value}; write it in quotes"
    return ""


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
