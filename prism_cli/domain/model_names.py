"""Which specs name one model, whoever serves it."""

import re

_KIND = re.compile(r"^(?:hf|st):")
_SNAPSHOT = re.compile(r"-(?:\d{8}|\d{4}-\d\d-\d\d|latest)$")


def model_name(spec: str) -> str:
    """The model of a spec: openrouter/openai/gpt-5.4-mini and openai/gpt-5.4-mini are the same.

    The last part of the path in small letters, without what follows a colon (a provider's variant,
    a threshold) and without the date of a snapshot; a point in a version is a dash.
    """
    last = _KIND.sub("", spec).rstrip("/").rpartition("/")[2].partition(":")[0]
    return _SNAPSHOT.sub("", last.casefold()).replace(".", "-")
