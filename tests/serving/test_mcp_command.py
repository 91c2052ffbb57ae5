"""`prism mcp` as agents start it: the official client over both transports, and the process."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.serving.test_server import figure, until

ROOT = Path(__file__).parent.parent.parent
WORDS = ["-m", "tests.serving.fake_prism", "mcp"]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"accept": "application/json, text/event-stream"}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


@contextmanager
def process(
    words: list[str] = WORDS, errors: int | IO[str] = subprocess.DEVNULL, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, text=True, env={**os.environ, **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
    )  # fmt: skip
    with started:
        try:
            yield started
        finally:
            started.kill()


def say(server: subprocess.Popen[str], message: object) -> None:
    assert server.stdin
    server.stdin.write(json.dumps(message) + "\n")
    server.stdin.flush()


def answer(server: subprocess.Popen[str]) -> Any:
    assert server.stdout
    return json.loads(server.stdout.readline())


def address(lines: IO[str]) -> str:
    """Return the address that a server prints."""
    words = (re.search(r"http://\S+", line) for line in iter(lines.readline, ""))
    return next(filter(None, words))[0]


@contextmanager
def http_server(*words: str, waits: bool = True, **environment: str) -> Iterator[str]:
    """Start `prism mcp --http`, and return its address.

    Args:
        waits: until the model is loaded.
    """
    with process(
        [*WORDS, "--http", "--port", "0", *words], subprocess.PIPE, **environment
    ) as server:
        assert server.stderr
        url = address(server.stderr)
        if waits:
            until(lambda: httpx2.get(f"{url}/ready").status_code == 200)
        yield url


@asynccontextmanager
async def connected(url: str | None, *words: str, **environment: str) -> AsyncIterator[Client]:
    """Return the official client of a server: over HTTP at `url`, else over standard input."""
    target = (
        f"{url}/mcp"
        if url
        else StdioServerParameters(
            command=sys.executable,
            args=[*WORDS, *words],
            cwd=ROOT,
            env={**os.environ, **environment},
        )
    )
    async with asyncio.timeout(60), Client(target) as client:
        yield client


def test_the_handshake_waits_for_no_model() -> None:
    words = ["-X", "importtime", "-m", "prism_cli", "mcp", "--model", "hf:prism-tiny"]
    with process(words, subprocess.PIPE) as server:
        began = time.perf_counter()
        say(server, INITIALIZE)
        assert answer(server)["result"]["serverInfo"]["name"] == "prism"
        seconds = time.perf_counter() - began
        _, errors = server.communicate(timeout=30)  # closes standard input
    assert server.returncode == 0
    imported = set(re.findall(r"\| +(\w+)", errors))
    assert {"mcp", "prism_cli"} <= imported
    assert not {"torch", "transformers", "numpy", "fastapi"} & imported
    assert seconds < 15  # about 1.5 on an idle machine


def test_standard_output_holds_messages_alone() -> None:
    with process() as server:
        say(server, INITIALIZE)
        answer(server)
        say(server, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        say(server, "not a message")
        say(server, LIST)
        assert answer(server)["result"]["tools"]
        call = {"name": "read_documents", "arguments": {"query": "a", "documents": ["a"]}}
        say(server, {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": call})
        assert not answer(server)["result"]["isError"]
        assert server.stdin
        server.stdin.close()
        assert server.stdout
        assert server.stdout.read() == ""


def river_call(document: str) -> str:
    """Return a call of the tool in ASCII, as JSON with an escape for any other character."""
    call = {"name": "read_documents", "arguments": {"query": "river", "documents": [document]}}
    return json.dumps({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": call})


CUT = (
    ("a river \ud83d", "a river \ufffd"),
    ("\udc00a river \U0001f600", "\ufffda river \U0001f600"),
    (r"a river \ud83d", r"a river \ud83d"),
)


def test_an_emoji_that_was_cut_in_two_is_replaced_on_standard_input() -> None:
    with process() as server:
        say(server, INITIALIZE)
        answer(server)
        say(server, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert server.stdin
        for document, expected in CUT:
            server.stdin.write(river_call(document) + "\n")
            server.stdin.flush()
            (one,) = answer(server)["result"]["structuredContent"]["relevant"]
            assert one["evidence"] == expected


def test_an_emoji_that_was_cut_in_two_is_replaced_over_http() -> None:
    headers = ACCEPT | {"content-type": "application/json"}
    with http_server() as url:
        for document, expected in CUT:
            parts = iter([one.encode() for one in river_call(document)])
            reply = httpx2.post(f"{url}/mcp", content=parts, headers=headers)
            (found,) = re.findall(r"data: (.*)", reply.text) or [reply.text]
            (one,) = json.loads(found)["result"]["structuredContent"]["relevant"]
            assert one["evidence"] == expected


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, None], ids=str)
def test_the_process_ends_soon_even_while_the_model_loads(end: signal.Signals | None) -> None:
    with process(FAKE_LOAD_SECONDS="60") as server:
        say(server, INITIALIZE)
        answer(server)
        say(server, LIST)  # the model begins to load
        answer(server)
        if end is None:
            assert server.stdin
            server.stdin.close()
        else:
            server.send_signal(end)
        assert server.wait(15) == (0 if end is None else 128 + end)


def test_a_server_whose_model_loads_stops_at_once() -> None:
    words = ["-m", "tests.serving.fake_prism", "serve", "--port", "0"]
    with process(words, subprocess.PIPE, FAKE_LOAD_SECONDS="60") as server:
        assert server.stderr
        url = address(server.stderr)
        until(lambda: httpx2.get(f"{url}/ready").status_code == 503)
        server.terminate()
        assert server.wait(15) == 0


@pytest.mark.parametrize("http", [False, True], ids=["stdio", "http"])
def test_the_official_client_calls_the_tool(http: bool, tmp_path: Path) -> None:
    (tmp_path / "town.txt").write_text("a river by the town")
    root = ["--root", str(tmp_path), "--evidence-top", "1"]

    async def work(url: str | None) -> None:
        async with connected(url, *root) as client:
            (tool,) = (await client.list_tools()).tools
            assert tool.name == "read_documents"
            documents = ["a cat", {"path": "town.txt"}, "a river"]
            result = await client.call_tool(
                "read_documents", {"query": "river", "documents": documents}
            )
            value: Any = result.structured_content
            assert value["relevant"][0]["evidence"] == "a river by the town"
            assert (value["irrelevant"], value["omitted"]) == ([0], [2])
            bad = await client.call_tool("read_documents", {"query": "", "documents": []})
            assert bad.is_error

    if http:
        with http_server(*root) as url:
            asyncio.run(work(url))
    else:
        asyncio.run(work(None))


@pytest.mark.parametrize("http", [False, True], ids=["stdio", "http"])
def test_a_call_that_is_given_up_stops(http: bool) -> None:
    documents = [f"river {number} " + "x" * 900 for number in range(400)]

    async def work(url: str | None) -> None:
        async with connected(url, FAKE_PASS_SECONDS="0.2") as client:
            running = asyncio.create_task(
                client.call_tool("read_documents", {"query": "river", "documents": documents})
            )
            await asyncio.sleep(2)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            began = time.perf_counter()
            small = {"query": "river", "documents": ["a river"], "max_tokens": 0}
            assert not (await client.call_tool("read_documents", small)).is_error
            assert time.perf_counter() - began < 5
            if url:
                await asyncio.to_thread(until, lambda: figure(url, "prism_queued_bytes") == 0)
                assert figure(url, "prism_pairs_total") < len(documents)

    if http:
        with http_server(FAKE_PASS_SECONDS="0.2") as url:
            asyncio.run(work(url))
    else:
        asyncio.run(work(None))


def test_calls_over_http_need_the_servers_key() -> None:
    async def tools(url: str, key: str) -> int:
        headers = {"authorization": f"Bearer {key}"}
        async with (
            asyncio.timeout(60),
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            return len((await client.list_tools()).tools)

    with http_server(PRISM_API_KEYS="sesame") as url:
        assert asyncio.run(tools(url, "sesame")) == 1
        reply = httpx2.post(f"{url}/mcp", json=INITIALIZE)
        assert reply.status_code == 401
        headers = ACCEPT | {"authorization": "Bearer sesame", "host": "rerank.example"}
        reply = httpx2.post(f"{url}/mcp", json=INITIALIZE, headers=headers)
        assert reply.status_code == 200


def test_without_keys_pages_of_other_hosts_are_refused() -> None:
    with http_server() as url:
        for header in ({"host": "rerank.example"}, {"origin": "http://rerank.example"}):
            reply = httpx2.post(f"{url}/mcp", json=INITIALIZE, headers=ACCEPT | header)
            assert reply.status_code in (403, 421), header
        assert httpx2.post(f"{url}/mcp", json=INITIALIZE, headers=ACCEPT).status_code == 200
