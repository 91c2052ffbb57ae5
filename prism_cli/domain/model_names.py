"""Names of models, independent of the provider that serves them."""

import re

_KIND = re.compile(r"^(?:hf|st):")
_SNAPSHOT = re.compile(r"-(?:\d{8}|\d{4}-\d\d-\d\d|latest)$")


def model_name(spec: str) -> str:
    """Return the model of a spec: the same for openrouter/openai/gpt-5.4-mini and
    openai/gpt-5.4-mini.

    The last part of the path in lower case, without the part after a colon (a provider's variant, a
    threshold) and without the date of a snapshot; a dot in a version becomes a dash.
    """
    last = _KIND.sub("", spec).rstrip("/").rpartition("/")[2].partition(":")[0]
    return _SNAPSHOT.sub("", last.casefold()).replace(".", "-")
