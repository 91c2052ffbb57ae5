"""`prism` whose servers load a scripted model: python -m tests.serving.fake_prism mcp OPTIONS.

FAKE_LOAD_SECONDS and FAKE_PASS_SECONDS say how long it loads, and how long a round or pass takes;
FAKE_LOAD_UNTIL names a file whose appearance ends the loading.
"""

import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prism_cli.app import main
from prism_cli.commands import mcp, serve
from prism_cli.ports import Reply, RerankTask
from prism_cli.serving.ranker import Ranker
from tests.serving.fake_model import CountingSession
from tests.serving.fake_server import SlowModel, scripted

PASSES = 8
"""Passes of a text."""


class QuotingSession(CountingSession):
    def add(self, tasks: Sequence[RerankTask]) -> Mapping[RerankTask, Reply]:
        self.left |= dict.fromkeys(tasks, PASSES)
        return {}


class QuotingModel(SlowModel):
    """A model whose evidence is the sentences that have the query."""

    def written(self, task: RerankTask) -> Reply:
        sentences = re.split(r"(?<=[.!?])\s+", task.document)
        evidence = " ".join(one for one in sentences if task.query in one)
        text = f"yes\n<contribution>{evidence}</contribution>\n<evidence>{evidence}</evidence>"
        reply = super().written(task)
        return Reply({**reply.value, "text": text}, usage=reply.usage)

    def text_session(self) -> QuotingSession:
        return QuotingSession(self)


def load_ranker(_config: Any) -> Ranker:
    """Return the scripted model, and be as loud about it as libraries are."""
    time.sleep(float(os.environ.get("FAKE_LOAD_SECONDS", "0")))
    loaded = os.environ.get("FAKE_LOAD_UNTIL")
    while loaded and not Path(loaded).exists():
        time.sleep(0.02)
    print("a line of a library")
    os.write(1, b"a line of a library in C\n")
    print("\rLoading: 100%", end="", flush=True)
    warnings.warn("a warning of a library", stacklevel=1)
    logging.getLogger("transformers").error("a record of a library")
    return scripted(float(os.environ.get("FAKE_PASS_SECONDS", "0")), QuotingModel)


if __name__ == "__main__":
    mcp.load_ranker = serve.load_ranker = load_ranker  # type: ignore[attr-defined]
    sys.argv[1:] = [*sys.argv[1:], "--model", "hf:prism-tiny"]
    main()
