"""What a script shares with its test: its arguments, and the outcome of each call."""

import asyncio
import inspect
import json
import os
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

args = SimpleNamespace(**json.loads(os.environ["ARGS"]))
"""url, key, query, documents."""


def report(calls: Mapping[str, Callable[[], Any]]) -> None:
    """Print the outcome of each call as JSON: its value, or `error` and `message`."""
    outcomes = {}
    for name, call in calls.items():
        try:
            value = call()
            outcomes[name] = asyncio.run(value) if inspect.iscoroutine(value) else value
        except Exception as error:
            outcomes[name] = {"error": type(error).__name__, "message": str(error)}
    print("\n" + json.dumps(outcomes))


def shown(index: Any, score: Any, text: Any = None, evidence: Any = None) -> dict[str, Any]:
    """Return a result as a client shows it, without what it does not show."""
    fields = {"index": index, "score": score, "text": text, "evidence": evidence}
    return {name: value for name, value in fields.items() if value is not None}
