"""A server, and programs that call it with clients from their own environments."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients.environments import COMMAND, SCRIPTS, environment, marker, run_script
from tests.clients.server import KEY

pytest.register_assert_rewrite("tests.clients.expected")
REQUIRED = os.environ.get("PRISM_REQUIRE_CLIENTS") == "1"
"""True where a missing environment is a failure."""
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """Yield the address of a server with a scripted model, which takes the key `KEY`."""
    with server(KEY) as url:
        yield url


@pytest.fixture(scope="session")
def served_without_keys() -> Iterator[str]:
    """Yield the address of such a server that takes requests without a key."""
    with server() as url:
        yield url


@contextmanager
def server(*keys: str) -> Iterator[str]:
    words = [sys.executable, "-m", "tests.clients.server", *keys]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        url = process.stdout.readline().strip()
        with httpx2.Client(timeout=10) as client:
            for _ in range(500):
                if client.get(f"{url}/ready").status_code == 200:
                    break
                time.sleep(0.02)
        yield url
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def client() -> Callable[..., Any]:
    """Return a function that runs a script with the clients of an environment.

    `client("python/voyage.py", args)` runs a script of `scripts/`, whose folder is the environment;
    `client(path, args, "python")` runs another one. It returns the JSON value that the script
    prints; the script finds `args` as JSON in its environment variable `ARGS`.
    """

    def run(script: str | Path, args: Any, name: str = "") -> Any:
        path = SCRIPTS / script
        name = name or path.parent.name
        if not marker(environment(name)).exists():
            reason = f"clients are not installed: {COMMAND}"
            pytest.fail(reason) if REQUIRED else pytest.skip(reason)
        return run_script(name, path, args)

    return run
