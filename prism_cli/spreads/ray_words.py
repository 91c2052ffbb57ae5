"""Ray's errors in the words of prism: Ray's own have several pages."""

import re

from prism_cli.errors import PrerequisiteError, first_line
from prism_cli.version import __version__

_LONGEST = 200
_REASONS = {
    "low on memory": "Ray ended it, since its node was out of memory (give the nodes fewer CPUs, "
    "or the model smaller batches)",
    "node has died": "its node is gone",
    "node was terminated": "its node is gone",
    "connection error code 2": "its process was killed or crashed, such as for want of memory",
    "temporarily unavailable": "it cannot be reached: its process or its node is gone",
    "owner has died": "its command is gone",
}
"""Reason by what a message of Ray has in it; the first that fits."""


def shown(error: BaseException) -> str:
    """Return kind and first line of an error."""
    return f"{type(error).__name__}: {first_line(error)}"


def why_lost(error: BaseException) -> str:
    """Return why an actor ended, on one line."""
    words = " ".join(str(error).split())
    for sign, reason in _REASONS.items():
        if sign in words:
            return reason
    detail = re.search(r"exit detail: (.+?)(?: Some common causes|\. The process|$)", words)
    return _shortened(detail[1] if detail else words)


def missing_module(error: BaseException) -> PrerequisiteError | None:
    """Return the error of an actor that could not be made since its node lacks a module; None if
    that is not the reason."""
    words = str(error)
    missing = re.search(r"No module named '([\w.]+)'", words)
    if not missing:
        return None
    node = re.search(r"ip[=:] ?([\d.:a-f]+)", words)
    return PrerequisiteError(
        f"{node[1] if node else 'a node of the cluster'}: has no module {missing[1]}; its "
        f"Python environment needs the same packages as this one (prism-cli {__version__})"
    )


def _shortened(words: str) -> str:
    """Return whole sentences, or else whole words, of at most 200 characters."""
    if len(words) > _LONGEST:
        words = words[:_LONGEST]
        end = words.rfind(". ")
        words = words[:end] if end > 0 else words.rpartition(" ")[0] + " …"
    return words.rstrip(".")
