"""Text of the problems of settings: the place of a key, and the reason."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prism_cli.wording import did_you_mean, expected

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ENVIRONMENT = "environment"
"""Name of the layer of PRISM_* variables."""
_SHOWN = 200


def variable(path: str) -> str:
    """Return the environment variable of a setting."""
    return "PRISM_" + path.upper().replace(".", "__")


def located(layer: str, key: str) -> str:
    """Return the place of a key: its variable, [TABLE] KEY of prism.toml, or LAYER: KEY."""
    if layer == ENVIRONMENT:
        return variable(key)
    return f"{layer} {key}" if layer.endswith("]") else f"{layer}: {key}"


def nearest_name(what: str, name: str, known: Sequence[str]) -> str:
    own = name.rpartition(".")[2]  # as where the table of prism.toml was typed with it
    hint = did_you_mean(name, known, 0.7) or did_you_mean(own, known, 0.7)
    return f"unknown {what}; {hint or f'known {what}s: ' + ', '.join(known)}"


def reason_of(item: "ErrorDetails") -> str:
    """Return the reason of a pydantic error, without its prefix for errors of our own checks."""
    error = item.get("ctx", {}).get("error")
    if isinstance(error, ValueError):
        return str(error)
    return expected(item["msg"])


def of_table(item: "ErrorDetails") -> bool:
    """Return whether one of our checks refused a whole table: its reason names the value."""
    return item["type"] == "value_error" and isinstance(item["input"], dict)


def shown(value: object) -> str:
    """Return a value for a message, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
