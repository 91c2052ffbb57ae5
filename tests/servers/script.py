"""How a server behaves, in Python or as a TOML file, and how a script's server is started.

delay = 0.2                      # any field of Settings
requests_per_window = 60
tag = "Item [0-9]+"

[[reply]]                        # first match first; what matches none is answered by hash
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
    """How a server behaves apart from its faults.

    Attributes:
        delay: seconds before each reply.
        requests_per_window, window: more requests of one key and model in so many seconds get a
            429 whose Retry-After says when there is room; 0: no limit.
        models: the models that exist; () for any.
        rerank, search: the dialects where nothing in the request tells.
        tag: a pattern whose first match in a request's text becomes the log's `tag`.
        seed: of faults by lot and of the order in batch files.
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
    """An answer to all that contains a text."""

    contains: str = ""
    model: str = ""
    text: str | None = None
    probability: float | None = None
    score: float | None = None


def ruled(*rules: ReplyRule) -> Answers:
    """Answers by the first rule that matches and has what is asked; by hash where none does."""

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
    """Faults, answers and settings of a script; TypeError for a key that nothing knows."""
    told = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    faults = [
        Fault(**rule | {"calls": tuple(rule.get("calls", ()))}) for rule in told.pop("fault", [])
    ]
    answers = ruled(*(ReplyRule(**rule) for rule in told.pop("reply", [])))
    batch = BatchPlan(**told.pop("batch", {}))
    told["models"] = tuple(told.get("models", ()))
    return faults, answers, Settings(**told, batch=batch)


@contextmanager
def launched(log: Path, script: str = "", *, port: int = 0) -> Iterator[str]:
    """A server in a process of its own, as long as the block lasts; its base_url.

    `read_log(log)` may be read while it runs. `script` is the TOML text.
    """
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-m", "tests.servers.fault_server", "--port", str(port)]
    command += ["--log", str(log)]
    if script:
        told = log.with_suffix(".toml")
        told.write_text(script, encoding="utf-8")
        command += ["--script", str(told)]
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
