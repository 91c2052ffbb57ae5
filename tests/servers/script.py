"""Settings of a server, in Python or as a TOML file, and a context manager that starts it.

delay = 0.2                      # any field of Settings
requests_per_window = 60
tag = "Item [0-9]+"

[[reply]]                        # the first match applies; other requests are answered by hash
contains = "Item 3 "             # and / or: model = "…"
text = "no"                      # a chat's text
probability = 0.1                # P(yes): votes, log-probabilities, decisions
score = 0.9                      # a reranker's; `contains` looks into the one document

[[fault]]                        # any fields of Fault
name = "429"
calls = [1]
per_text = true
retry_after = "2"

[batch]                          # any fields of BatchPlan
polls = 3
error_every = 5
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.batches import BatchPlan
from tests.servers.faults import Fault
from tests.servers.replies import Answers, hashed


@dataclass(frozen=True, slots=True)
class Settings:
    """Behaviour of a server apart from its faults.

    Attributes:
        delay: seconds before each reply.
        requests_per_window, window: rate limit per key and model in `window` seconds; others get a
            429 with Retry-After; 0: no limit.
        models: the models that exist; () for any.
        rerank, search: the default dialects.
        tag: a pattern whose first match in a request's text becomes the log's `tag`.
        seed: seed of random faults and of the order in batch files.
    """

    delay: float = 0.0
    requests_per_window: int = 0
    window: float = 60.0
    models: tuple[str, ...] = ()
    rerank: str = "vllm"
    search: str = "tavily"
    tag: str = ""
    seed: int = 0
    batch: BatchPlan = field(default_factory=BatchPlan)


@dataclass(frozen=True, slots=True)
class ReplyRule:
    """Answer to requests that contain a text."""

    contains: str = ""
    model: str = ""
    text: str | None = None
    probability: float | None = None
    score: float | None = None


def ruled(*rules: ReplyRule) -> Answers:
    """Return answers by the first matching rule with the requested field, else by hash."""

    def found(name: str, model: str, text: str) -> Any:
        for rule in rules:
            value = getattr(rule, name)
            if value is not None and rule.model in ("", model) and rule.contains in text:
                return value
        return None

    def probability(model: str, text: str) -> float:
        value = found("probability", model, text)
        return hashed(model, text) if value is None else float(value)

    def score(model: str, query: str, document: str) -> float:
        value = found("score", model, document)
        return hashed(model, query, document) if value is None else float(value)

    return Answers(
        probability=probability,
        chat=lambda model, text: found("text", model, text),
        score=score,
    )


def read_script(path: Path | None) -> tuple[list[Fault], Answers, Settings]:
    """Return faults, answers and settings of a script; raise TypeError for an unknown key."""
    table = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    faults = [
        Fault(**rule | {"calls": tuple(rule.get("calls", ()))}) for rule in table.pop("fault", [])
    ]
    answers = ruled(*(ReplyRule(**rule) for rule in table.pop("reply", [])))
    batch = BatchPlan(**table.pop("batch", {}))
    table["models"] = tuple(table.get("models", ()))
    return faults, answers, Settings(**table, batch=batch)


@contextmanager
def launched(log: Path, script: str = "", *, port: int = 0) -> Iterator[str]:
    """Run a server in a separate process during the block; yield its base_url.

    `read_log(log)` works while it runs. `script` is the TOML text.
    """
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-m", "tests.servers.fault_server", "--port", str(port)]
    command += ["--log", str(log)]
    if script:
        script_path = log.with_suffix(".toml")
        script_path.write_text(script, encoding="utf-8")
        command += ["--script", str(script_path)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        base_url = process.stdout.readline().strip()
        assert base_url, "the server did not start"
        yield base_url
    finally:
        process.terminate()
        process.communicate(timeout=30)
