"""A server under load: fairness, limits, cancellation, memory. On loopback, bounded in time.

    python -m tests.benchmarks.serve_load [CHECK…] [--model hf:prism-tiny] [--round-seconds 0.25]

Without --model the server has a model that does nothing but wait for `--round-seconds` a round.
Each check prints what it measured and the bound.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

WORDS = str.split("river town bridge harbour market tower school garden winter letter engine")
LIMIT = 120.0
"""Most seconds of a check."""


def text(seed: int, words: int) -> str:
    """Return a document that no other one equals."""
    chosen = random.Random(seed)
    return f"{seed} " + " ".join(chosen.choice(WORDS) for _ in range(words))


def body(seed: int, documents: int, words: int = 60, **more: Any) -> dict[str, Any]:
    """Return a request with documents of its own."""
    texts = [text(seed * 10_000 + number, words) for number in range(documents)]
    return {"query": f"{WORDS[seed % len(WORDS)]}?", "documents": texts, **more}


class Load:
    """A server process, and requests to it."""

    def __init__(self, words: list[str]) -> None:
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            try:
                if httpx2.get(f"{self.url}/ready").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise SystemExit("the server did not become ready")

    async def post(
        self, client: httpx2.AsyncClient, value: Any, **headers: str
    ) -> tuple[int, float]:
        """Return status and seconds."""
        started = time.perf_counter()
        reply = await client.post(
            f"{self.url}/v1/rerank", json=value, headers=headers, timeout=LIMIT
        )
        return reply.status_code, time.perf_counter() - started

    async def seconds_until_empty(self) -> float:
        """Return the time until the queue is empty."""
        started = time.perf_counter()
        while self.figure("prism_queued_bytes"):
            assert time.perf_counter() - started < LIMIT
            await asyncio.sleep(0.01)
        return time.perf_counter() - started

    def figure(self, name: str) -> float:
        """Return a figure of /metrics."""
        found = re.search(rf"^{name} (\S+)$", httpx2.get(f"{self.url}/metrics").text, re.MULTILINE)
        assert found, name
        return float(found[1])

    def processor_seconds(self) -> float:
        """Return the processor time of the server."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Return the memory of the server."""
        with open(f"/proc/{self.process.pid}/status") as lines:
            (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
        return int(kilobytes) / 1024


async def small_beside_large(load: Load, client: httpx2.AsyncClient) -> None:
    alone = [(await load.post(client, body(seed, 1)))[1] for seed in range(5)]
    large = asyncio.create_task(load.post(client, body(99, 100, evidence=True, threshold=0.0)))
    await asyncio.sleep(0.5)
    beside = []
    for seed in range(100, 120):
        if large.done():
            break
        beside.append((await load.post(client, body(seed, 1)))[1])
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)
    worst = sorted(beside)[int(0.95 * (len(beside) - 1))]
    print(
        f"one document: alone {statistics.median(alone):.2f} s; beside a request for 100 documents "
        f"with evidence {statistics.median(beside):.2f} s, p95 {worst:.2f} s, of {len(beside)}"
    )


async def crowd(load: Load, client: httpx2.AsyncClient) -> None:
    results = await asyncio.gather(*(load.post(client, body(200 + n, 100)) for n in range(60)))
    codes = {code: [taken for one, taken in results if one == code] for code, _ in results}
    words = ", ".join(f"{code}: {len(each)}" for code, each in sorted(codes.items()))
    refused = f"; slowest 429 {max(codes[429]):.2f} s" if 429 in codes else ""
    late = f"; slowest 504 {max(codes[504]):.2f} s" if 504 in codes else ""
    print(f"60 requests for 100 documents at once: {words}{refused}{late}")
    assert codes.keys() <= {200, 429, 504}


async def leaving(load: Load, client: httpx2.AsyncClient) -> None:
    tasks = [asyncio.create_task(load.post(client, body(300 + n, 200))) for n in range(8)]
    await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(f"queue empty {await load.seconds_until_empty():.2f} s after all clients left")


async def killed(load: Load, client: httpx2.AsyncClient) -> None:
    value = json.dumps(body(700, 500, evidence=True, threshold=0.0))
    words = ["curl", "-s", f"{load.url}/v1/rerank", "-d", "@-"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stdin
    process.stdin.write(value)
    process.stdin.close()
    await asyncio.sleep(1)
    held = load.figure("prism_queued_bytes")
    process.kill()
    process.wait()
    taken = await load.seconds_until_empty()
    print(f"queue with {held:.0f} bytes empty {taken:.2f} s after kill -9 of the client")


async def deadlines(load: Load, client: httpx2.AsyncClient) -> None:
    late = []
    for n, seconds in enumerate((0.5, 1.0, 2.0)):
        asked = {"X-Request-Timeout": str(seconds)}
        code, taken = await load.post(client, body(800 + n, 1_000), **asked)
        late.append(f"{taken - seconds:.3f} s ({code})")
    print(f"requests for 1,000 documents end after their deadline by {', '.join(late)}")


async def together(load: Load, client: httpx2.AsyncClient) -> None:
    started = time.perf_counter()
    for n in range(16):
        await load.post(client, body(400 + n, 2))
    serial = time.perf_counter() - started
    started = time.perf_counter()
    await asyncio.gather(*(load.post(client, body(500 + n, 2)) for n in range(16)))
    joined = time.perf_counter() - started
    print(f"16 requests for two documents: together {serial / joined:.2f} times as fast")


async def memory(load: Load, client: httpx2.AsyncClient) -> None:
    for n in range(500):
        if n == 50:
            before = load.megabytes()
        await load.post(client, body(1_000 + n, 3, 30))
    print(f"memory after 50 requests {before:.0f} MB, after 500 {load.megabytes():.0f} MB")


async def front(load: Load, client: httpx2.AsyncClient) -> None:
    value = httpx2.Request("POST", load.url, json={"query": "a" * 100_000, "documents": []}).content

    async def post() -> None:
        reply = await client.post(f"{load.url}/v1/rerank", content=value, timeout=LIMIT)
        assert reply.status_code == 200

    started, before = time.perf_counter(), load.processor_seconds()
    for _ in range(20):
        await asyncio.gather(*(post() for _ in range(25)))
    seconds, used = time.perf_counter() - started, load.processor_seconds() - before
    print(
        f"front alone, bodies of 100 kB: {500 / used:.0f} requests per second of processor time; "
        f"{500 / seconds:.0f} requests/s with this client, which needs more of it than the server"
    )


async def terminated(load: Load, client: httpx2.AsyncClient) -> None:
    task = asyncio.create_task(load.post(client, body(600, 20)))
    await asyncio.sleep(0.2)
    started = time.perf_counter()
    load.process.send_signal(signal.SIGTERM)
    code, _ = await task
    ended = await asyncio.to_thread(load.process.wait, LIMIT)
    print(f"SIGTERM: reply {code}, exit {ended} after {time.perf_counter() - started:.2f} s")


CHECKS: list[Callable[[Load, httpx2.AsyncClient], Awaitable[None]]] = [
    small_beside_large, crowd, leaving, killed, deadlines, together, front, memory, terminated,
]  # fmt: skip


async def run(load: Load, names: list[str]) -> None:
    """Run the checks of these names; all without any."""
    async with httpx2.AsyncClient() as client:
        for check in CHECKS:
            if not names or check.__name__ in names:  # type: ignore[attr-defined]
                await check(load, client)


def main() -> None:
    """Print a line for each check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checks", nargs="*", help="default: all")
    parser.add_argument("--model", default="")
    parser.add_argument("--round-seconds", type=float, default=0.25)
    options = parser.parse_args()
    words = [sys.executable, "-m", "tests.serving.fake_server", str(options.round_seconds)]
    load = Load([*words, options.model] if options.model else words)
    try:
        asyncio.run(run(load, options.checks))
    finally:
        load.process.kill()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
