"""The MCP tool, called by the official TypeScript client over both transports."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serving.test_mcp_command import WORDS, http_server

KEY = "sesame"
SMALL = {"query": "river", "documents": ["a cat", "It rained. The river is long."]}
SLOW = {"FAKE_LOAD_SECONDS": "3", "FAKE_PASS_SECONDS": "0.2"}


@pytest.mark.slow
@pytest.mark.parametrize("http", [False, True], ids=["stdio", "http"])
def test_typescript_client(http: bool, client: Callable[..., Any]) -> None:
    calls = {"small": SMALL}
    if http:
        with http_server(waits=False, PRISM_API_KEYS=KEY, **SLOW) as url:
            outcomes = client("node/use_mcp.mjs", calls | {"url": f"{url}/mcp", "key": KEY})
    else:
        root = str(Path(__file__).parent.parent.parent)
        server = {
            "command": sys.executable, "args": WORDS, "cwd": root,
            "env": dict(os.environ) | SLOW,
        }  # fmt: skip
        outcomes = client("node/use_mcp.mjs", calls | {"server": server})
    assert outcomes["list"] == [["read_documents", True]]
    assert set(outcomes["progress"]) == {"the model is loading"}
    value = outcomes["call"]["structuredContent"]
    assert value["relevant"][0]["evidence"] == "The river is long."
    assert value["irrelevant"] == [0]
    assert outcomes["call"]["content"][0]["text"].startswith("[1] 0.95 The river is long.")
    assert outcomes["error"]["isError"]
    assert "query: expected text" in outcomes["error"]["content"][0]["text"]
    assert 0 < outcomes["cancelled"] < 5  # the large call would take 30 more seconds
