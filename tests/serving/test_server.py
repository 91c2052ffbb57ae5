"""The process of a server: signals, clients that leave, sockets."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest

from prism_cli.errors import UsageError
from prism_cli.serving.server import listening_socket

BODY = {"query": "river", "documents": [f"river {n} " + "x" * 900 for n in range(200)]}
SMALL = {"query": "river", "documents": ["a river"]}


@contextmanager
def server(seconds: float, grace: float = 20) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    words = [sys.executable, "-m", "tests.serving.fake_server", str(seconds)]
    environment = {**os.environ, "FAKE_GRACE": str(grace)}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        until(lambda: httpx2.get(f"{url}/ready").status_code == 200)
        yield url, process
    finally:
        process.kill()
        process.communicate()


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if holds():
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError("never held")


def figure(url: str, name: str) -> float:
    found = re.search(
        rf"^{re.escape(name)} (\S+)$", httpx2.get(f"{url}/metrics").text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def post(url: str, body: object) -> httpx2.Response:
    return httpx2.post(f"{url}/v1/rerank", json=body, timeout=60)


def refused(url: str) -> bool:
    """Return whether a server refuses requests until it no longer accepts connections."""
    try:
        while post(url, SMALL).status_code == 503:
            time.sleep(0.02)
    except httpx2.TransportError:
        return True
    return False


async def pending(url: str, body: object) -> tuple[httpx2.AsyncClient, asyncio.Task[object]]:
    """Send a request, and wait until the server works on it."""
    client = httpx2.AsyncClient(timeout=60)
    task: asyncio.Task[object] = asyncio.create_task(client.post(f"{url}/v1/rerank", json=body))  # type: ignore[arg-type]
    await asyncio.to_thread(until, lambda: figure(url, "prism_requests_in_flight") == 1)
    return client, task


def test_requests_in_flight_end_after_sigterm_and_new_ones_are_refused() -> None:
    with server(0.05) as (url, process):

        async def work() -> int:
            client, task = await pending(url, BODY)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(refused, url)
            reply = await task
            await client.aclose()
            return int(reply.status_code)  # type: ignore[attr-defined]

        assert asyncio.run(work()) == 200
        assert process.wait(30) == 0


def test_a_second_signal_stops_at_once() -> None:
    with server(1.0) as (url, process):

        async def work() -> None:
            client, task = await pending(url, BODY)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            await asyncio.gather(task, return_exceptions=True)
            await client.aclose()

        asyncio.run(work())
        assert process.wait(30) == 128 + signal.SIGTERM


def test_requests_that_do_not_end_in_the_grace_period_are_told_so() -> None:
    with server(30, grace=1) as (url, process):

        async def work() -> httpx2.Response:
            client, task = await pending(url, BODY)
            process.send_signal(signal.SIGTERM)
            reply = await task
            await client.aclose()
            return reply  # type: ignore[return-value]

        reply = asyncio.run(work())
        assert (reply.status_code, reply.json()["detail"]) == (503, "the server is stopping")
        assert process.wait(15) == 0, "a round of 30 s does not hold the process"


def test_a_thread_that_goes_on_does_not_hold_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_THREAD_SECONDS", "60")
    with server(0, grace=1) as (_url, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_headers_without_end_are_refused() -> None:
    with server(0) as (url, _process):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as one:
            one.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\nx-a: ")
            with pytest.raises(ConnectionError):
                one.sendall(b"x" * 2**25)
        large = httpx2.get(f"{url}/health", headers={"x-a": "a" * 100_000})
        assert large.status_code == 200


@pytest.mark.parametrize("streams", [False, True])
def test_the_work_of_a_client_that_left_stops(streams: bool) -> None:
    with server(0.05) as (url, _process):

        async def work() -> None:
            client, task = await pending(url, BODY)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.aclose()

        if streams:
            host, port = url.removeprefix("http://").split(":")
            body = httpx2.Request("POST", url, json=BODY | {"stream": True}).content
            with socket.create_connection((host, int(port))) as one:
                head = f"POST /v1/rerank HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n"
                one.sendall(head.encode() + body)
                until(lambda: figure(url, "prism_requests_in_flight") == 1)
        else:
            asyncio.run(work())
        until(lambda: figure(url, "prism_requests_in_flight") == 0)
        until(lambda: figure(url, "prism_queued_bytes") == 0)
        if not streams:
            until(lambda: figure(url, 'prism_requests_total{code="499"}') == 1)
        assert 'code="500"' not in httpx2.get(f"{url}/metrics").text
        assert figure(url, "prism_pairs_total") < 200
        assert post(url, SMALL).status_code == 200


def test_a_small_request_is_answered_beside_a_large_one() -> None:
    with server(0.05) as (url, _process):

        async def work() -> None:
            client, large = await pending(url, BODY | {"evidence": True})
            assert (await asyncio.to_thread(post, url, SMALL)).status_code == 200
            assert not large.done()
            large.cancel()
            await asyncio.gather(large, return_exceptions=True)
            await client.aclose()

        asyncio.run(work())


def test_an_address_that_is_taken_or_foreign_is_refused() -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}"):
            listening_socket("127.0.0.1", port)
    with pytest.raises(UsageError, match=r"--host 192\.0\.2\.1"):
        listening_socket("192.0.2.1", 0)
